"""Style and script of the page.

Requirements: none.
"""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #ccc; --head: #f3f3f3; --soft: #666; }
@media (prefers-color-scheme: dark) { :root { --line: #555; --head: #2a2a2a; --soft: #aaa; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2em; border-top: 1px solid var(--line); padding-top: .8em; }
.wide { overflow-x: auto; }
.tall { overflow: auto; max-height: 36em; border: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
.left { text-align: left; }
.about th, .about td { text-align: left; vertical-align: top; white-space: normal; }
.about td { overflow-wrap: anywhere; }
.tall th { position: sticky; top: 0; background: var(--head); }
th button { font: inherit; font-weight: bold; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; }
th button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort=ascending] button::after { content: " \\2191"; color: inherit; }
th[aria-sort=descending] button::after { content: " \\2193"; color: inherit; }
figure { margin: 1.5em 0; overflow-x: auto; }
figure svg { background: white; max-width: 100%; height: auto; min-width: 640px; }
.soft { color: var(--soft); }
input { font: inherit; margin-bottom: .6em; width: 20em; max-width: 100%; }
"""

#: Sorts a table by the column whose heading is clicked, and hides rows that lack a word.
SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, table = head.closest("table"), body = table.tBodies[0];
    const number = [...head.parentElement.children].indexOf(head);
    const value = (row) => row.children[number].dataset.value ?? row.children[number].textContent;
    const rows = [...body.rows].map((row) => [value(row), row]);
    const numeric = rows.every(([text]) => text === "" || !isNaN(text));
    const before = head.getAttribute("aria-sort");  // numbers begin with the largest
    const up = before ? before === "descending" : !numeric;
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");  // what is unknown comes last
      const order = numeric ? a - b : a.localeCompare(b, undefined, { numeric: true });
      return up ? order : -order;
    });
    body.append(...rows.map(([, row]) => row));
  });
}
const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const word = filter.value.toLowerCase();
  for (const row of document.querySelectorAll("#sequences tbody tr"))
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(word);
});
"""
