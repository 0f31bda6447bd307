"""Servers with one bug each, which the verification must find. A verdict that can not fail is worth nothing.

Authority: what a seeded bug is. The product knows nothing of them: a bug is an edit of the server's source, made
in memory by `serve.py` before it runs the normal `serve`.

Guarantee: an edit finds the very text it replaces, or the server does not start (`editing.BugDoesNotApply`). So a
server that has changed makes its bugs fail loudly, never silently harmless.

Non-guarantee: where a window is microseconds wide, a bug may hold it open for longer than nature would; its
docstring says so. What finds the bug here would need many more trials to find it in the wild.
"""
