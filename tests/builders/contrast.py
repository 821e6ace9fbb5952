"""The contrast of two colours of an open page."""

import re

from playwright.sync_api import Page


def luminance(colour: str) -> float:
    """Return the relative luminance (WCAG 2) of `rgb(r, g, b)`."""
    channels = [int(channel) / 255 for channel in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        channel / 12.92 if channel <= 0.03928 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(page: Page, selector: str, background: str, of: str = "color") -> float:
    """Return the contrast (WCAG 2) of an element's text with another element's background.

    `of` is the property that holds the colour, `stroke` of a line.
    """
    colour = (
        "([selector, property]) => getComputedStyle(document.querySelector(selector))[property]"
    )
    luminances = [
        luminance(page.evaluate(colour, [selector, of])),
        luminance(page.evaluate(colour, [background, "backgroundColor"])),
    ]
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)
