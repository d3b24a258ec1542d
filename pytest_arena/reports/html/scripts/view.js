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

// In a page that would be too large, what follows a job's first lines is packed.
async function unpack(section, packed) {
  packed.remove();
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const rest = await new Response(stream).text();
  const stored = section.querySelector(":scope > noscript");
  stored.textContent = stored.textContent.replace(/<p class="note">[^<]*<\/p>\n$/, "") + rest;
}

const unpacking = new Set(); // sections of which the rest will be there in a moment

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
  const packed = job && job.querySelector(":scope > script");
  if (packed) unpacking.add(job) && unpack(job, packed).then(() => unpacking.delete(job) && show());
  if (unpacking.has(job)) return;
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
