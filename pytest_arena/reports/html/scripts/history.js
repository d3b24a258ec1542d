// Search: jobs without one of the words in their row are hidden, in the table and below it.

const field = document.getElementById("_search");

function search() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = Array.from(document.querySelectorAll(".histories tbody tr"));
  const sections = Array.from(document.querySelectorAll("section.history"));
  let found = 0;
  rows.forEach((row, at) => {
    const text = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
    const hidden = words.some((word) => !text.includes(word));
    row.hidden = sections[at].hidden = hidden;
    found += hidden ? 0 : 1;
  });
  document.getElementById("_found").textContent = words.length ? `${found} of ${rows.length} jobs` : "";
}

if (field) {
  field.closest("p").hidden = false;
  field.addEventListener("input", search);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && event.target !== field && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      field.focus();
    }
  });
}
