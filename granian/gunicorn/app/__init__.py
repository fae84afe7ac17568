"""The paths that embedding programs import: `base` and `wsgiapp`."""
