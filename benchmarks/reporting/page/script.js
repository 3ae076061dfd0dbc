"use strict";
// Tables sort by the buttons in their headings and filter by the field above them; without this they are plain tables.
for (const sheet of document.querySelectorAll(".sheet")) {
  const body = sheet.querySelector("tbody");
  const heads = [...sheet.querySelectorAll("thead th")];
  const told = sheet.querySelector("[role=status]");
  const field = sheet.querySelector("input");
  const rows = [...body.rows];

  const compare = (a, b, text) => (text ? a.localeCompare(b) : Number(a) - Number(b));
  const sort = (column, ascending) => {
    const text = heads[column].dataset.text === "yes";
    const key = (row) => row.cells[column].dataset.key;
    const known = rows.filter((row) => key(row) !== "");
    const unknown = rows.filter((row) => key(row) === "");
    known.sort((a, b) => (ascending ? 1 : -1) * compare(key(a), key(b), text));
    body.append(...known, ...unknown);
    heads.forEach((head, at) => {
      head.setAttribute("aria-sort", at !== column ? "none" : ascending ? "ascending" : "descending");
    });
    const name = heads[column].querySelector("button").textContent.trim();
    told.textContent = `sorted by ${name}, ${ascending ? "ascending" : "descending"}`;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      sort(column, head.getAttribute("aria-sort") !== "ascending");
    });
  });

  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    told.textContent = `${shown} of ${rows.length} rows`;
  });
}
for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
