"""A local viewer of a tree of folders: a list, live reports, samples, two studies side by side. Reads only; no network.

What it shows of a study is made of its rows when it is asked for, by the code that makes the report, and redacted as
the report is. Its own pages go by relative addresses, so that the same pages work under a token and as files.

    app       the addresses as an ASGI application
    beside    two studies side by side, as plain values
    bundle    the same pages as static files
    guard     who may ask: the token, the host, the methods; and the headers of every answer
    pages     the viewer's own pages, from plain values
    progress  how far a study has come
    reports   the report of a folder as it is now
    rows      responses as the page of samples lists them
    serve     the port, the server and the browser
    shelf     a tree with what was read of it: the one source of every page
    stamps    when files last changed
    summary   a line about each folder
    tree      the folders of a tree, each under a name that links can keep
"""
