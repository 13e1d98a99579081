"""The style sheet of a report page: light and dark, wide and narrow, screen and paper."""

from dlcv_tf.plots import style

NARROW_UNTIL = 640  # pixels: up to here the figures made for a phone are shown

RULES = """
*, ::before, ::after { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
    Arial, sans-serif;
}
main { max-width: 58rem; margin: 0 auto; padding: 4rem 1.5rem 5rem }
h1 { margin: 0; font-size: 2.25rem; line-height: 1.15; letter-spacing: -.022em; font-weight: 680;
  text-wrap: balance }
h2 { margin: 0 0 1rem; font-size: 1.3rem; line-height: 1.3; letter-spacing: -.012em;
  font-weight: 650 }
p { max-width: 42rem; margin: 0 0 1rem; text-wrap: pretty; overflow-wrap: break-word }
.mark { margin: 0 0 .75rem; color: var(--accent); font-size: .875rem; font-weight: 600 }
.lead p { margin-top: .75rem; color: var(--muted); font-size: 1.125rem }
section { margin-top: 3.5rem; padding-top: 2rem; border-top: 1px solid var(--line) }
section.lead { margin-top: 0; padding-top: 0; border-top: 0 }
section > :last-child { margin-bottom: 0 }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono",
  monospace; font-size: .875em }
p code, td code, figcaption code { padding: .1em .35em; border-radius: .25rem;
  background: var(--panel) }
pre { margin: 0; padding: 1rem 1.25rem; border-radius: .5rem; background: var(--panel);
  line-height: 1.65; white-space: pre-wrap; overflow-wrap: anywhere }
pre code { font-size: .8125rem }
.comment { color: var(--muted) }

.tiles { display: flex; flex-wrap: wrap; gap: 1px; margin: 2rem 0; overflow: hidden;
  border: 1px solid var(--line); border-radius: .625rem; background: var(--line) }
.tiles div { display: flex; flex: 1 1 9.5rem; flex-direction: column; padding: 1.1rem 1.25rem;
  background: var(--paper) }
.tiles dt { color: var(--muted); font-size: .875rem; line-height: 1.4 }
.tiles dd { margin: 0; overflow-wrap: anywhere }
.tiles .value { order: -1; font-size: 1.75rem; line-height: 1.25; font-weight: 640;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums }
.tiles .note { margin-top: .15rem; color: var(--muted); font-size: .8125rem; line-height: 1.4 }

figure { margin: 1.5rem 0 }
figcaption { max-width: 42rem; margin-top: .75rem; color: var(--muted); font-size: .875rem;
  line-height: 1.5 }
.code figcaption { margin: 0 0 .5rem }
/* A shade at the right edge, which the second layer covers once all is scrolled into view. */
.scroll { overflow-x: auto; background:
  linear-gradient(to left, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(to left, var(--line), transparent) right / .75rem 100% no-repeat scroll }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 4px }
svg { display: block; max-width: 100%; height: auto; font-family: inherit;
  font-variant-numeric: tabular-nums }
svg * { stroke-linejoin: round; stroke-linecap: butt }
.narrow { display: none }

table { width: 100%; border-collapse: collapse; font-size: .9375rem; line-height: 1.4;
  font-variant-numeric: tabular-nums }
th, td { padding: .6rem 0 .6rem 1.5rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline; white-space: nowrap }
th:first-child, td:first-child { padding-left: 0 }
thead th { color: var(--muted); font-size: .8125rem; font-weight: 500; border-color: var(--muted) }
tbody th { font-weight: 600 }
tbody tr:last-child > * { border-bottom: 0 }
.number { text-align: right }
.long { min-width: 14rem; white-space: normal }
"""

PHONE = """
main { padding: 2rem 1.125rem 3rem }
h1 { font-size: 1.75rem }
section { margin-top: 2.5rem; padding-top: 1.5rem }
.tiles div { flex-basis: 40%; padding: .9rem 1rem }
.tiles .value { font-size: 1.4rem }
tbody th:first-child, thead th:first-child { position: sticky; left: 0; padding-right: .75rem;
  background: var(--paper) }
th, td { padding-left: 1rem }
.has-narrow .wide { display: none }
.has-narrow .narrow { display: block }
"""

PRINT = """
@page { margin: 16mm }
html { font-size: 13px }
body { -webkit-print-color-adjust: exact; print-color-adjust: exact }
main { max-width: none; padding: 0 }
section { margin-top: 2rem; padding-top: 1.25rem }
h2 { break-after: avoid }
figure, tr, .tiles, pre { break-inside: avoid }
.scroll { overflow: visible; background: none }
th, td { padding-left: .75rem }
"""


def css() -> str:
    """Returns the whole style sheet."""
    return (
        f":root {{ color-scheme: light dark; {_variables(style.LIGHT)} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_variables(style.DARK)} }} }}"
        f"{RULES}@media screen and (max-width: {NARROW_UNTIL}px) {{{PHONE}}}\n"
        f"@media print {{{PRINT}}}\n"
    )


def _variables(palette: dict[str, str]) -> str:
    """Returns a palette as CSS variables."""
    return "; ".join(f"--{name}: {colour}" for name, colour in palette.items())
