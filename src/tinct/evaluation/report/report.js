// Sorting the table of sequences; without it the table is in the order of the names.
for (const table of document.querySelectorAll("table.sortable")) {
  const lower = table.tHead.rows[1].cells;
  const upper = [...table.tHead.rows[0].cells];
  // The columns of the body: the sequence, every figure, then the frames.
  const heads = [upper[0], ...lower, upper.find((head) => head.textContent === "frames")];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "descending" : column === 0;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const key = (body) => {
        const cell = body.rows[0].cells[column];
        return column === 0 ? cell.textContent : Number(cell.dataset.value);
      };
      const compare = (a, b) => {
        if (column === 0) return key(a).localeCompare(key(b));
        const [x, y] = [key(a), key(b)];
        // What has no figure stays below, whichever way one sorts.
        if (isNaN(x) || isNaN(y)) return (isNaN(x) - isNaN(y)) * (ascending ? 1 : -1);
        return x - y;
      };
      const bodies = [...table.tBodies].sort((a, b) => (ascending ? 1 : -1) * compare(a, b));
      table.append(...bodies);
    });
  });
}
