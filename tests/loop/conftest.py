from served import kind, serve  # noqa: F401 (fixtures)
