"""A chat room on Django Channels; see README.md beside this folder."""
