// Of a hundred films, those that can be seen load their first frame.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    entry.target.preload = "metadata";
    seen.unobserve(entry.target);
  }
});
document.querySelectorAll(".film-pair video").forEach((film) => seen.observe(film));

playPairs(document);
