// The episodes of a job: a grid of cells, one each, and the panel of the one that the address names. Both are made
// of the rows of the table, which stays below them.

const GLYPHS = { success: "●", failure: "✕", error: "!", unknown: "?" };
const FAILED = ["failure", "error"];
const LARGE_CELLS = 1000; // episodes; cells of more are smaller

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// The address of what has this id: names may have any letters.
const addressOf = (id) => `#${id.split("/").map(encodeURIComponent).join("/")}`;

function outcomeMark(outcome) {
  return element("b", { className: `outcome ${outcome[0]}` }, `${GLYPHS[outcome]} ${outcome}`);
}

// Thousands of videos would be slow: in the table their place is taken by links, and the panel makes those of one.
// Without their ids a browser does not open the table to scroll to the row that the address names.
jobRead.push((content) => {
  for (const figure of content.querySelectorAll("table.rows figure")) {
    const link = element("a", { className: "film", href: addressOf(figure.closest("tr").id) }, "▶ ");
    link.append(...figure.querySelector("figcaption").childNodes);
    link.dataset.source = figure.querySelector("video").getAttribute("src");
    figure.replaceWith(link, " ");
  }
  content.querySelectorAll("table.rows tr[id]").forEach((row) => row.removeAttribute("id"));
});

const episodesRead = new WeakMap(); // section of a job -> what readEpisodes returns

// All episodes of a job, as its table has them: {part, table, columns, episodes}; null without a table.
function readEpisodes(section) {
  if (!episodesRead.has(section)) {
    const part = section.querySelector("section.episodes");
    const table = part && part.querySelector("table.rows");
    episodesRead.set(section, table ? { part, table, ...readTable(section, part, table) } : null);
  }
  return episodesRead.get(section);
}

function readTable(section, part, table) {
  const column = (place, at) => ({
    key: place.dataset.key,
    name: place.firstChild.textContent.trim(),
    unit: place.querySelector("i") ? place.querySelector("i").textContent : "",
    ...at,
  });
  const heads = Array.from(table.tHead.rows[0].cells);
  const columns = heads.map((head, cell) => head.dataset.key && column(head, { cell })).filter(Boolean);
  for (const place of part.querySelectorAll(".same > span")) {
    columns.push(column(place, { same: place.querySelector("b").textContent }));
  }
  const episodes = Array.from(table.tBodies[0].rows, (row, place) => ({
    place,
    row,
    index: row.cells[0].textContent,
    address: addressOf(`${section.id}/episode-${row.cells[0].textContent}`),
    outcome: row.cells[1].textContent.trim(),
    beyond: row.classList.contains("beyond"),
  }));
  return { columns, episodes };
}

// The text of a cell, and its number; null where there is none.
const cellText = (column, episode) => column.same ?? episode.row.cells[column.cell].textContent.trim();
function cellNumber(column, episode) {
  const text = cellText(column, episode);
  return text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

jobOpened.push((section) => {
  const read = readEpisodes(section);
  if (!read) return;
  const { part, table, episodes } = read;
  const details = table.closest("details");
  details.open = false;
  const grid = makeGrid(read);
  const panel = element("section", { className: "panel", hidden: true });
  Object.assign(read, { grid, panel });
  const counts = Object.keys(GLYPHS).map((outcome) => [outcome, episodes.filter((e) => e.outcome === outcome).length]);
  part.querySelector("h3").after(makeLegend(grid, counts.filter(([, count]) => count)), grid, panel);
});

function makeGrid({ columns, episodes }) {
  const length = columns.find((column) => column.key === "length");
  const grid = element("div", { className: "grid", role: "group", "aria-label": "Episodes in their order" });
  grid.classList.toggle("small", episodes.length > LARGE_CELLS);
  const cells = episodes.map((episode) => {
    const steps = length ? `, ${cellText(length, episode)} steps` : "";
    const said = `episode ${episode.index}, ${episode.outcome}${steps}${episode.beyond ? ", beyond the decision" : ""}`;
    const cell = element("a", { href: episode.address, title: said, "aria-label": said, tabIndex: -1 });
    cell.className = `${episode.outcome[0]}${episode.beyond ? " beyond" : ""}`;
    cell.textContent = GLYPHS[episode.outcome];
    episode.cell = cell;
    return cell;
  });
  grid.append(...cells);
  cells[0].tabIndex = 0;
  grid.addEventListener("keydown", (event) => moveInGrid(event, grid));
  grid.addEventListener("focusin", (event) => rove(grid, event.target));
  return grid;
}

// One cell of a grid can be reached with the Tab key, the others from there with the arrow keys.
function rove(grid, cell) {
  grid.querySelectorAll("[tabindex='0']").forEach((other) => (other.tabIndex = -1));
  cell.tabIndex = 0;
}

function moveInGrid(event, grid) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const cells = Array.from(grid.children).filter((cell) => cell.offsetParent !== null);
  const at = cells.indexOf(event.target);
  if (at < 0) return;
  const firstOfNextLine = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop);
  const line = firstOfNextLine < 0 ? cells.length : firstOfNextLine;
  const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - line, ArrowDown: at + line, Home: 0, End: cells.length - 1 };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const next = cells[moves[event.key]];
  if (next) next.focus();
}

// What the glyphs mean, with counts; each sorts its episodes out of the grid.
function makeLegend(grid, counts) {
  const legend = element("div", { className: "legend", role: "group", "aria-label": "Outcomes shown" });
  for (const [outcome, count] of counts) {
    const button = element("button", { type: "button", "aria-pressed": "true" }, outcomeMark(outcome), ` ${count}`);
    button.addEventListener("click", () => {
      const hidden = grid.classList.toggle(`without-${outcome[0]}`);
      button.setAttribute("aria-pressed", String(!hidden));
      const reachable = Array.from(grid.children).find((cell) => cell.offsetParent !== null);
      if (reachable) rove(grid, reachable);
    });
    legend.append(button);
  }
  legend.append(element("span", { className: "muted keys" }, "arrow keys move, Enter opens"));
  return legend;
}

// The panel of one episode.

episodeShown.push((section, name) => {
  const read = readEpisodes(section);
  if (!read || !read.panel) return;
  const { panel, episodes } = read;
  const left = read.shown;
  if (left) left.cell.removeAttribute("aria-current");
  const episode = name ? episodes.find((one) => `episode-${one.index}` === name) : null;
  read.shown = episode;
  panel.hidden = !name;
  panel.replaceChildren(); // films that are not shown play no longer
  if (episode) {
    fillPanel(read, episode);
    episode.cell.setAttribute("aria-current", "true");
    rove(read.grid, episode.cell);
  } else if (name) {
    panel.append(element("p", { className: "note" }, `This job has no ${name.replace("-", " ")}.`));
  } else {
    if (left && section.classList.contains("open")) left.cell.focus();
    return;
  }
  panel.scrollIntoView({ block: "nearest" });
  const heading = panel.querySelector("h4");
  if (heading) heading.focus({ preventScroll: true });
});

function fillPanel(read, episode) {
  const { panel, part } = read;
  panel.setAttribute("aria-label", `Episode ${episode.index}`);
  const heading = element("h4", { tabIndex: -1 }, `Episode ${episode.index} `, outcomeMark(episode.outcome));
  if (episode.beyond) heading.append(element("span", { className: "muted" }, " beyond the gate's decision"));
  panel.append(element("header", {}, heading, panelButtons(read, episode)));
  const films = Array.from(episode.row.querySelectorAll("a.film"));
  if (films.length) panel.append(...filmsInStep(read, episode, films));
  panel.append(factsOf(read, episode), ...notesOf(episode));
  const again = part.querySelector(":scope > .again");
  if (!again) return;
  const copy = element("p", { className: "again" });
  const code = again.querySelector("code");
  if (code) {
    const own = code.cloneNode(true);
    own.querySelector("var").textContent = episode.index;
    copy.append("Run it again: ", own);
    offerCopy(copy);
  } else copy.append(again.textContent);
  panel.append(copy);
}

function panelButtons(read, episode) {
  const to = (found) => found && (() => location.replace(found.address));
  const { before, after } = neighbours(read, episode);
  const button = (text, label, key, action) => {
    const made = element("button", { type: "button", title: label, disabled: !action }, text);
    if (key) made.dataset.key = key;
    if (action) made.addEventListener("click", action);
    return made;
  };
  const failed = (one) => FAILED.includes(one.outcome);
  return element(
    "div", { className: "buttons" },
    button("← previous", "previous episode (←)", "ArrowLeft", to(before.at(-1))),
    button("next →", "next episode (→)", "ArrowRight", to(after[0])),
    button("previous failure", "previous failure (p)", "p", to(before.findLast(failed))),
    button("next failure", "next failure (n)", "n", to(after.find(failed))),
    button("close", "close (Esc)", "Escape", () => (location.hash = episode.address.split("/")[0])),
  );
}

const neighbours = ({ episodes }, { place }) => ({
  before: episodes.slice(0, place),
  after: episodes.slice(place + 1),
});

// The keys of a panel are those of its buttons. They come before those of the page, where Escape leaves the job.
addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || document.fullscreenElement) return;
  const panel = document.querySelector("section.job.open .panel:not([hidden])");
  const at = event.target;
  if (!panel || at.closest("input:not([type='range']), select, textarea, dialog")) return;
  // Keys that the thing with the focus has a use for.
  if (event.key.startsWith("Arrow") && at.closest("input, .grid, [role='region']")) return;
  if (event.key === " " && at.closest("button, a, summary")) return;
  const button = Array.from(panel.querySelectorAll("button[data-key]")).find((one) => one.dataset.key === event.key);
  if (!button) return;
  event.preventDefault();
  button.click();
}, true);

function factsOf({ columns, part }, episode) {
  const facts = element("dl", { className: "episode-facts" });
  const fact = (name, ...value) => facts.append(element("div", {}, element("dt", {}, name), element("dd", {}, ...value)));
  for (const column of columns) {
    const text = cellText(column, episode);
    if (text !== "") fact(column.name, column.unit ? `${text} ${column.unit}` : text);
  }
  const file = part.querySelector(".trajectories a");
  if (file && episode.outcome !== "error") {
    fact("trajectory", element("a", { href: file.getAttribute("href") }, `${file.textContent}#data/demo_${episode.index}`));
  }
  return facts;
}

// What stands in the last cell of the row beside films.
function notesOf(episode) {
  const more = episode.row.querySelector(".more");
  if (!more) return [];
  const copy = element("div", { className: "more" });
  copy.append(...Array.from(more.cloneNode(true).childNodes).filter((node) => !(node.matches && node.matches(".film"))));
  copy.querySelectorAll("pre, .note").forEach((long) => (long.tabIndex = 0)); // it may be scrolled
  return copy.textContent.trim() ? [copy] : [];
}
