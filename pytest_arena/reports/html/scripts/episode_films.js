// The films of one episode, all cameras side by side, with one set of controls for all: see scripts/films.js for how
// they stay in step while they play.

const SPEEDS = [0.25, 0.5, 1, 2, 4];

// Frame k of a film is the image after k steps: an episode of n steps has n + 1 frames.
function filmsInStep({ columns, table }, episode, links) {
  const length = columns.find((column) => column.key === "length");
  const steps = (length && cellNumber(length, episode)) || 0;
  const frames = steps + (table.dataset.cut ? 0 : 1);
  const videos = links.map((link) =>
    element("video", { src: link.dataset.source, preload: "auto", muted: true, playsInline: true, "aria-label": link.textContent.slice(2) }),
  );
  const shown = element("div", { className: "films" }, ...videos.map((video) => figureOf(video)));
  playTogether(videos);
  return [shown, controlsOf(videos, frames)];
}

function figureOf(video) {
  const figure = element("figure", {}, video, element("figcaption", {}, video.getAttribute("aria-label")));
  video.addEventListener("error", () => {
    video.replaceWith(element("p", { className: "note" }, "This film cannot be played."));
  });
  return figure;
}

function controlsOf(videos, frames) {
  const usable = () => videos.filter((video) => video.isConnected && video.duration);
  const button = (text, label, key, action) => {
    const made = element("button", { type: "button", title: `${label} (${key === " " ? "space" : key})`, "aria-label": label }, text);
    made.dataset.key = key;
    made.addEventListener("click", action);
    return made;
  };
  const frameAt = (video) => Math.min(frames - 1, Math.floor((video.currentTime / video.duration) * frames + 0.001));
  // The middle of a frame: at its edge a decoder may show the one before.
  const showFrame = (frame) => {
    for (const video of usable()) {
      video.pause();
      video.currentTime = ((Math.max(0, Math.min(frames - 1, frame)) + 0.5) / frames) * video.duration;
    }
  };
  const move = (by) => () => usable().length && showFrame(frameAt(usable()[0]) + by);
  const toggle = button("▶", "play", " ", () => {
    const [first] = usable();
    if (!first) return;
    if (!first.paused) return showFrame(frameAt(first));
    if (first.ended || frameAt(first) === frames - 1) usable().forEach((video) => (video.currentTime = 0));
    first.play().catch(() => {});
  });
  const slider = element("input", { type: "range", min: 0, max: Math.max(1, frames - 1), value: 0, "aria-label": "step" });
  slider.addEventListener("input", () => showFrame(Number(slider.value)));
  const told = element("output", {}, "");
  const speed = element("select", { "aria-label": "speed" }, ...SPEEDS.map((rate) => new Option(`${rate}×`, rate, rate === 1, rate === 1)));
  speed.addEventListener("change", () => videos.forEach((video) => (video.playbackRate = Number(speed.value))));
  const tell = () => {
    const [first] = usable();
    if (!first) return;
    slider.value = frameAt(first);
    told.value = `step ${frameAt(first)} of ${frames - 1}`;
    toggle.textContent = first.paused ? "▶" : "❚❚";
    toggle.setAttribute("aria-label", first.paused ? "play" : "pause");
    if (!first.paused && first.isConnected) requestAnimationFrame(tell);
  };
  for (const video of videos) {
    ["loadedmetadata", "play", "pause", "seeked", "ended"].forEach((name) => video.addEventListener(name, tell));
    video.addEventListener("click", () => toggle.click());
  }
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    videos[0].addEventListener("loadeddata", () => videos[0].play().catch(() => {}), { once: true });
  }
  return element("div", { className: "controls" }, toggle, button("‹", "one step back", ",", move(-1)), button("›", "one step on", ".", move(1)), slider, told, speed);
}
