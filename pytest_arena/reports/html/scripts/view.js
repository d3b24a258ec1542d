// The address decides what is shown: "#" the table of jobs, "#reach" a job, "#reach/episode-3" an episode of it.
// What belongs to a job stands in a <noscript>: without a script it is the page, and with one the parser has kept
// it as text, which costs next to nothing. It becomes part of the document when the job is opened.

const jobRead = []; // functions (fragment): called once a job, before its content is in the document
const jobOpened = []; // functions (section): called once a job, when its content is there
const episodeShown = []; // functions (section, name): called with "episode-3" of the address, or with ""

document.documentElement.classList.add("scripted");

function openSection(section) {
  const stored = section.querySelector(":scope > noscript");
  if (!stored) return;
  const read = document.createElement("template");
  read.innerHTML = stored.textContent;
  jobRead.forEach((call) => call(read.content));
  const content = document.createElement("div");
  content.className = "content";
  content.append(read.content);
  stored.replaceWith(content);
  jobOpened.forEach((call) => call(section));
}

// What follows the "#", in parts.
function address() {
  const text = location.hash.slice(1);
  try {
    return decodeURIComponent(text).split("/");
  } catch {
    return text.split("/"); // somebody has typed a "%"
  }
}

function show() {
  const [name, episode] = address();
  const section = name && document.getElementById(name);
  const job = section && section.matches("section.job") ? section : null;
  document.querySelectorAll("section.job.open").forEach((other) => {
    if (other === job) return;
    episodeShown.forEach((call) => call(other, ""));
    other.classList.remove("open");
  });
  document.documentElement.classList.toggle("job-open", Boolean(job));
  if (!job) return;
  const isNew = !job.classList.contains("open");
  job.classList.add("open");
  openSection(job);
  if (isNew) scrollTo(0, 0);
  episodeShown.forEach((call) => call(job, episode || ""));
}

addEventListener("hashchange", show);
addEventListener("DOMContentLoaded", show);
