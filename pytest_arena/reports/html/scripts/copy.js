// A button beside each command, which copies it.

function offerCopy(root) {
  for (const code of root.querySelectorAll("code.command")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    const tell = (text, label) => {
      button.textContent = text;
      button.setAttribute("aria-label", label);
    };
    tell("Copy", "Copy the command");
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(code); // where a browser refuses, the keys for copying do it
      try {
        await navigator.clipboard.writeText(code.textContent);
        tell("Copied", "Copied");
      } catch {
        tell("Selected", "The command is selected");
      }
      setTimeout(() => tell("Copy", "Copy the command"), 2000);
    });
    code.after(" ", button);
  }
}

offerCopy(document.querySelector("header"));
jobOpened.push(offerCopy);
