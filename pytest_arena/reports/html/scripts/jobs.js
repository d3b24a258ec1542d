// The table of jobs: search, filters, order, keys. All of it is read from the rows; without a script they are a plain
// table. A job's own row and those of its attempts and shards stay together.

{
  const section = document.getElementById("=jobs");
  const table = section.querySelector("table.jobs");
  const body = table.tBodies[0];
  const jobs = []; // {rows, row, verdict, values: {name: [value, …]}, text, found}
  for (const row of body.rows) {
    if (row.classList.contains("part")) jobs[jobs.length - 1].rows.push(row);
    else jobs.push({ row, rows: [row] });
  }
  let order = jobs.slice(); // as they stand in the table
  const columns = Array.from(table.tHead.rows[0].cells, (cell) => cell.textContent.trim());
  const cellOf = (row, name) => row.cells[columns.indexOf(name)];
  const plain = (text) => text.toLowerCase().normalize("NFKC");
  const wordOf = (row) => row.querySelector(".verdict").textContent.replace(" *", "");

  for (const job of jobs) {
    job.values = {
      verdict: [wordOf(job.row)],
      tag: Array.from(job.row.querySelectorAll(".tag"), (tag) => tag.textContent),
    };
    for (const name of ["simulator", "policy"]) {
      if (columns.includes(name)) job.values[name] = [cellOf(job.row, name).textContent.trim()].filter(Boolean);
    }
    // What a search finds: names, environment, tags, simulator, policy, instruction.
    const texts = job.rows.flatMap((row) => [row.cells[0].textContent, row.dataset.find || ""]);
    job.text = plain([...texts, ...(job.values.simulator || []), ...(job.values.policy || [])].join("\n"));
  }

  // --- search and filters

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };
  const search = make("input", { type: "search", placeholder: "Search  ( / )", autocomplete: "off" });
  search.setAttribute("aria-label", "Search jobs by name, environment, policy, tag or instruction");
  const filters = {};
  for (const name of ["verdict", "tag", "simulator", "policy"]) {
    const counts = new Map();
    for (const job of jobs) for (const value of job.values[name] || []) counts.set(value, (counts.get(value) || 0) + 1);
    if (!counts.size || (counts.size === 1 && counts.values().next().value === jobs.length)) continue;
    const select = make("select", {}, make("option", { value: "", textContent: `any ${name}` }));
    select.setAttribute("aria-label", `Show jobs by ${name}`);
    for (const [value, count] of counts) select.append(make("option", { value, textContent: `${value} (${count})` }));
    filters[name] = select;
  }
  const told = make("output");
  const clear = make("button", { type: "button", textContent: "Clear" });
  const keysButton = make("button", { type: "button", className: "tell-keys", textContent: "Keys" });
  const form = make("form", { className: "find" }, search, ...Object.values(filters), clear, told, keysButton);
  form.setAttribute("role", "search");
  form.addEventListener("submit", (event) => event.preventDefault());
  if (jobs.length) table.before(form);

  // Of thousands of rows, those are shown that a reader has come to: the browser lays out no others.
  const AT_ONCE = 300;
  let found = jobs; // that search and filters find, in the order of the table
  let shown = new Set(jobs);
  let end = 0; // how many of those found are shown
  const more = make("div");
  table.after(more);
  function show(count) {
    end = count;
    const now = new Set(found.slice(0, end));
    for (const job of shown) if (!now.has(job)) for (const row of job.rows) row.hidden = true;
    for (const job of now) if (!shown.has(job)) for (const row of job.rows) row.hidden = false;
    shown = now;
    coming.unobserve(more);
    if (end < found.length) coming.observe(more);
  }
  const coming = new IntersectionObserver(
    ([entry]) => entry.isIntersecting && show(end + AT_ONCE),
    { rootMargin: "1500px" },
  );
  addEventListener("beforeprint", () => show(Infinity));

  function filter() {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    const wanted = Object.entries(filters).filter(([, select]) => select.value);
    found = order.filter(
      (job) =>
        words.every((word) => job.text.includes(word)) &&
        wanted.every(([name, select]) => (job.values[name] || []).includes(select.value)),
    );
    const all = `${jobs.length} ${jobs.length === 1 ? "job" : "jobs"}`;
    told.textContent = found.length === jobs.length ? all : `${found.length} of ${all}`;
    clear.disabled = !words.length && !wanted.length;
    show(AT_ONCE);
  }
  form.addEventListener("input", filter);
  function showAll() {
    search.value = "";
    for (const select of Object.values(filters)) select.value = "";
    filter();
  }
  clear.addEventListener("click", () => {
    showAll();
    search.focus();
  });
  const verdictOf = (hash) => hash.slice(2).replaceAll("-", " "); // of "#=never-ran", which leads to the first such job
  for (const link of document.querySelectorAll("ul.counts a")) {
    link.addEventListener("click", (event) => {
      if (!filters.verdict) return; // all jobs came to the same
      event.preventDefault();
      const word = verdictOf(link.hash);
      filters.verdict.value = filters.verdict.value === word ? "" : word;
      filter();
      section.scrollIntoView({ block: "nearest" });
    });
  }
  if (filters.verdict && location.hash.startsWith("#=")) filters.verdict.value = verdictOf(location.hash);

  // --- order

  const numberIn = (text) => (text ? parseFloat(text.replaceAll(",", "")) : NaN);
  function keyOf(cell, heading) {
    if (heading.matches(".c-b")) return numberIn(cell.dataset.v || ""); // the difference, where there is one
    if (heading.matches(".number, .c-rate")) return numberIn(cell.dataset.v || cell.textContent);
    return plain(cell.textContent);
  }
  function sort(heading, descending) {
    const column = heading.cellIndex;
    if (columns[column] === "verdict") order = descending ? jobs.slice() : jobs.slice().reverse();
    else {
      const keys = new Map(jobs.map((job) => [job, keyOf(job.row.cells[column], heading)]));
      const lacks = (key) => key === "" || Number.isNaN(key);
      order = jobs.slice().sort((one, other) => {
        const [a, b] = [keys.get(one), keys.get(other)];
        if (lacks(a) || lacks(b)) return lacks(a) - lacks(b); // at the end in either direction
        const difference = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
        return descending ? -difference : difference;
      });
    }
    show(0); // what is not shown is moved at no cost
    for (const job of order) body.append(...job.rows);
    filter();
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }
  for (const heading of table.tHead.rows[0].cells) {
    const name = heading.querySelector("span") || heading.firstChild;
    const button = make("button", { type: "button", textContent: name.textContent });
    name.replaceWith(button);
    heading.setAttribute("aria-sort", "none");
    if (columns[heading.cellIndex] === "verdict") {
      heading.setAttribute("aria-sort", "descending");
      button.title = "Worst first";
    }
    button.addEventListener("click", () => {
      const now = heading.getAttribute("aria-sort");
      // The first order of a column is the one that people look for: names from A, the worst verdicts, low rates first.
      sort(heading, now === "none" ? !heading.matches(".c-job, .c-rate") : now === "ascending");
    });
  }

  // --- keys

  const keys = make("dialog", {}, make("h2", { textContent: "Keys" }));
  keys.setAttribute("aria-label", "Keys");
  const list = make("dl");
  for (const [names, what] of [
    ["/", "search the jobs"],
    ["j  k", "next and previous job of the table"],
    ["Enter", "open the job"],
    ["Escape", "back to the table; in the search, clear it"],
    ["n  p", "next and previous failure, in an open episode"],
    [",  .", "its films one step back, and on"],
    ["?", "these keys"],
  ]) {
    list.append(make("dt", {}, make("kbd", { textContent: names })), make("dd", { textContent: what }));
  }
  const close = make("button", { type: "button", textContent: "Close" });
  close.addEventListener("click", () => keys.close());
  keys.append(list, close);
  document.body.append(keys);
  keysButton.addEventListener("click", () => keys.showModal());

  const inTable = () => !document.documentElement.classList.contains("job-open");
  const linkOf = (row) => row.cells[0].querySelector("a");
  function move(by) {
    const rows = Array.from(body.rows).filter((row) => !row.hidden);
    const here = rows.indexOf(document.activeElement.closest("tr"));
    if (here + by >= rows.length && end < found.length) {
      show(end + AT_ONCE);
      move(by);
      return;
    }
    const next = here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(here + by, 0), rows.length - 1);
    if (!rows[next]) return;
    linkOf(rows[next]).focus({ preventScroll: true });
    rows[next].scrollIntoView({ block: "nearest" });
  }
  const actions = {
    "/": () => search.focus(),
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
  };
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || keys.open) return;
    if (document.fullscreenElement) return;
    const at = event.target;
    if (at === search && event.key === "Escape" && search.value) {
      event.preventDefault();
      search.value = "";
      filter();
      return;
    }
    if (at === search && (event.key === "Escape" || event.key === "ArrowDown" || event.key === "Enter")) {
      event.preventDefault();
      move(1);
      return;
    }
    if (at.closest("input:not([type=checkbox]), select, textarea, [contenteditable]")) return;
    if (event.key === "?") keys.showModal();
    else if (event.key === "Escape" && !inTable() && !at.closest("dialog")) location.hash = "";
    else if (inTable() && actions[event.key]) {
      // Arrows scroll the page until a row has the focus.
      if (event.key.startsWith("Arrow") && !body.contains(at)) return;
      actions[event.key]();
    } else return;
    event.preventDefault();
  });

  // --- back from a job: to its row, and to the place where the table was

  let opened = null; // folder of the job that was open last
  let place = null;
  const note = () => (opened = document.querySelector("section.job.open")?.id ?? opened);
  addEventListener("DOMContentLoaded", note);
  body.addEventListener("click", (event) => {
    if (event.target.closest("a")) place = scrollY;
  });
  addEventListener("hashchange", () => {
    note();
    if (!inTable() || opened === null) return;
    const row = Array.from(body.rows).find((one) => linkOf(one).textContent === opened);
    opened = null;
    if (!row || row.hidden) return;
    linkOf(row).focus({ preventScroll: true });
    if (place === null) row.scrollIntoView({ block: "center" });
    else scrollTo(0, place);
    place = null;
  });

  filter();
}
