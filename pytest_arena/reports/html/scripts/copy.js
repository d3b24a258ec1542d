// A button beside each command, which copies it.

function offerCopy(root) {
  for (const code of root.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy the command");
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(code); // where a browser refuses, the keys for copying do it
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
      setTimeout(() => (button.textContent = "Copy"), 2000);
    });
    code.after(" ", button);
  }
}

offerCopy(document.querySelector("header"));
jobOpened.push(offerCopy);
