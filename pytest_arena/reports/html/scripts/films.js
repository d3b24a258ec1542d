// Videos that play in step: what a person does with one of them, all do. A shorter one stands at its end until the
// longest one is over.

const IN_STEP = 0.12; // seconds by which two videos may differ before one of them is moved

function playTogether(videos) {
  const films = Array.from(videos);
  if (films.length < 2) return;
  const others = (leader) => films.filter((film) => film !== leader);
  const end = (film) => (Number.isFinite(film.duration) ? film.duration : Infinity);
  const over = (film) => film.ended || film.currentTime >= end(film) - 0.01;
  const move = (film, time) => {
    const target = Math.min(time, end(film));
    if (Math.abs(film.currentTime - target) > IN_STEP) film.currentTime = target;
  };
  // One that stands at its end is in step with all that are further on.
  const follow = (leader) => {
    for (const film of others(leader)) {
      if (!(over(leader) && film.currentTime > leader.currentTime)) move(film, leader.currentTime);
    }
  };
  const start = (film) => film.play().catch(() => {}); // a film that is missing does not stop the others
  for (const leader of films) {
    leader.addEventListener("play", () => {
      follow(leader);
      others(leader).forEach((film) => film.paused && leader.currentTime < end(film) - IN_STEP && start(film));
    });
    leader.addEventListener("pause", () => {
      if (!over(leader)) others(leader).forEach((film) => film.pause());
    });
    leader.addEventListener("seeking", () => follow(leader));
    leader.addEventListener("ratechange", () => {
      others(leader).forEach((film) => (film.playbackRate = leader.playbackRate));
    });
  }
  // The first one that is not over leads: a slow decoder would let the others drift.
  films.forEach((film) => film.addEventListener("timeupdate", () => {
    const leader = films.find((one) => !over(one));
    if (film === leader && !film.paused && !film.seeking) follow(film);
  }));
}

// The films of one episode in two runs, side by side: see film_pairs in templates/comparison_parts.html.
function playPairs(root) {
  for (const pair of root.querySelectorAll(".film-pair")) {
    const films = pair.querySelectorAll("video");
    if (films.length < 2) continue;
    playTogether(films);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Play both";
    button.addEventListener("click", () => {
      const playing = Array.from(films).some((film) => !film.paused && !film.ended);
      if (playing) films[0].paused ? films[1].pause() : films[0].pause();
      else {
        if (Array.from(films).every((film) => film.ended)) films[0].currentTime = 0;
        films[0].play().catch(() => {});
      }
    });
    const tell = () => {
      const playing = Array.from(films).some((film) => !film.paused && !film.ended);
      button.textContent = playing ? "Pause both" : "Play both";
    };
    films.forEach((film) => ["play", "pause", "ended"].forEach((name) => film.addEventListener(name, tell)));
    pair.querySelector("figcaption").append(" ", button);
  }
}
