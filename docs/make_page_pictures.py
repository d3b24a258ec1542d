"""Make the pictures of the pages: of a run, of a job in it, and of the history.

    python docs/make_page_pictures.py    # minutes; needs chromium and the extras metaworld, torch and dev

A learned policy that opens a door is evaluated as its training would go on: its weights are disturbed, by
less from run to run, and lie in the same file each time. The runs are real, and the pictures are Chromium's
own of the pages that pytest left; only the folders above the run and above the checkout are cut from paths.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import torch
from make_pictures import IMAGES, ROOT, run_pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

DISTURBANCES = (1.2, 1.0, 0.8, 0.5, 0.3, 0.0)
"""Standard deviation of the noise on the weights, in shares of that of each tensor."""
JOB = "bc_door_open"
RAISED = "bc_reach:thresholds={success_rate: '>= 0.5'}"
"""So that a job fails."""
SECONDS = 2
SETTINGS = (
    "environment.cameras={corner2: {width: 192, height: 192}, behindGripper: {width: 192, height: 192}}",
    "thresholds={success_rate: '>= 0.6'}",
    "gate={episodes_max: 60}",
    "rollout.timeout=1200",
    "regression={margin: 0.1}",
)

WITHOUT_PATHS = """paths => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    for (const path of paths) text.data = text.data.replaceAll(path, "");
  }
}"""


def main() -> None:
    """Run the evaluations, one after another, and draw their pages."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = folder / "door_open.pt"
        run = None
        for disturbance in DISTURBANCES:
            disturb(ROOT / "evals" / "policies" / "door_open.pt", checkpoint, disturbance)
            run = evaluate(folder, checkpoint, run, last=disturbance == DISTURBANCES[-1])
        assert run is not None
        draw(run, folder)


def disturb(source: Path, target: Path, share: float) -> None:
    """Write the policy at *source* to *target*, with noise on its weights."""
    torch.manual_seed(0)
    module = torch.jit.load(str(source))
    with torch.no_grad():
        for weight in module.parameters():
            weight += share * weight.std() * torch.randn_like(weight)
    module.save(str(target))


def evaluate(folder: Path, checkpoint: Path, before: Path | None, *, last: bool) -> Path:
    """Evaluate the policy, and two others; returns the run directory, which has films if it is the *last*."""
    chosen = [f"--arena-set={JOB}:{text}" for text in (f"policy.checkpoint={checkpoint}", *SETTINGS)]
    baseline = () if before is None else ("--arena-baseline", str(before))
    chosen.append(f"--arena-set={RAISED}")
    others = ("-k", "not pick_place", "--arena-video", "on" if last else "off")
    arguments = ("evals/test_learned.py", *others, *baseline, *chosen)
    _, run = run_pytest(folder, arguments, expected=[0, 1])
    return run


def draw(run: Path, folder: Path) -> None:
    """Write the three pictures, without the paths of *folder* and of the checkout."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium")
            or sys.exit("expected chromium: apt-get install chromium"),
            args=["--no-sandbox"],
        )
        for page, name, height, address in (
            (run / "index.html", "page.png", 800, ""),
            (run / "index.html", "job.png", 1500, f"#{JOB}/episode-4"),
            (run.parent / "index.html", "history.png", 760, ""),
        ):
            tab = browser.new_page(viewport={"width": 1240, "height": height})
            tab.goto(f"{page.as_uri()}{address}")
            tab.evaluate(WITHOUT_PATHS, [f"{folder}/", f"{ROOT.parent}/"])
            tab.wait_for_timeout(SECONDS * 1000)  # the films of an episode play as soon as it is shown
            write(tab, IMAGES / name)
            tab.close()
        browser.close()


def write(tab: Page, target: Path) -> None:
    """Write what Chromium shows, in few colours."""
    tab.screenshot(path=target)
    with Image.open(target) as shot:
        shot.convert("RGB").quantize(colors=256, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
