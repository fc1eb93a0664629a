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


STICKING_OUT = """() => {
    const width = document.documentElement.clientWidth;
    const rolls = (node) => {
        for (let up = node.parentElement; up && up !== document.body; up = up.parentElement)
            if (/auto|scroll|hidden|clip/.test(getComputedStyle(up).overflowX)) return true;
        return false;
    };
    const said = (node) => node.tagName.toLowerCase() + ' ' + (node.textContent || '').trim().slice(0, 40);
    const found = [];
    if (document.documentElement.scrollWidth > width) found.push('the page scrolls sideways');
    for (const node of document.body.querySelectorAll('*')) {
        const box = node.getBoundingClientRect(), style = getComputedStyle(node);
        if (!box.width || !box.height || style.visibility === 'hidden' || style.clipPath !== 'none') continue;
        if (box.right > width + 1 && !rolls(node)) found.push('sticks out: ' + said(node));
        const cut = !node.childElementCount && node.scrollWidth > node.clientWidth + 2 && node.clientWidth > 2;
        if (cut && /hidden|clip/.test(style.overflowX)) found.push('is cut: ' + said(node));
    }
    return found;
}"""
"""What is wider than the page, without a part that scrolls by itself around it, or whose text is cut."""


def on_a_phone(browser, page: str, file, ready: str = "h1") -> list[str]:
    """Write a page and open it at 390 × 844 with everything unfolded: what sticks out, was said, or was asked for."""
    file.write_text(page, encoding="utf-8")
    seen = Visit(browser, file.as_uri(), ready, viewport={"width": 390, "height": 844})
    seen.page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    found = [*seen.page.evaluate(STICKING_OUT), *seen.said, *(url for url in seen.requests if url != file.as_uri())]
    seen.context.close()
    return found
