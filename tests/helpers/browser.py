"""A page in headless Chromium, and everything that it says and asks for."""

from __future__ import annotations


class Visit:
    """A page in a fresh context, and everything it said or asked for; with everything unfolded, unless `folded`."""

    def __init__(self, browser, address: str, ready: str, *, folded: bool = False, before: str = "", **options) -> None:
        self.context = browser.new_context(**options)
        if before:
            self.context.add_init_script(before)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.goto(address)
        if not folded and options.get("java_script_enabled", True):
            self.page.evaluate(
                "document.querySelectorAll('.fold, .responses').forEach((node) => { node.open = true; })"
            )
        if options.get("java_script_enabled", True):
            self.page.wait_for_selector(ready)
