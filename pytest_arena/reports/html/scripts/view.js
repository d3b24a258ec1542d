// The address decides what is shown: "#" the table of jobs, "#reach" a job, "#reach/episode-3" an episode of it.
// What belongs to a job stands in a <noscript>: without a script it is the page, and with one the parser has kept
// it as text, which costs next to nothing. It becomes part of the document when the job is opened.

const jobOpened = []; // functions (section): called once a job, when its content is there
const episodeShown = []; // functions (section, row): called when the address names an episode of an open job

document.documentElement.classList.add("scripted");

function openSection(section) {
  const stored = section.querySelector(":scope > noscript");
  if (!stored) return;
  const content = document.createElement("div");
  content.className = "content";
  content.innerHTML = stored.textContent;
  stored.replaceWith(content);
  jobOpened.forEach((call) => call(section));
}

function show() {
  const address = decodeURIComponent(location.hash.slice(1));
  const [name, episode] = address.split("/");
  const section = name && document.getElementById(name);
  const job = section && section.matches("section.job") ? section : null;
  document.querySelectorAll("section.job.open").forEach((other) => other !== job && other.classList.remove("open"));
  document.documentElement.classList.toggle("job-open", Boolean(job));
  if (!job) return;
  job.classList.add("open");
  openSection(job);
  const row = episode && document.getElementById(address);
  if (row) episodeShown.forEach((call) => call(job, row));
  else scrollTo(0, 0);
}

addEventListener("hashchange", show);
addEventListener("DOMContentLoaded", show);
