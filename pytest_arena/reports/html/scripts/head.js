// On a phone, how the run was made waits until somebody asks for it: the table of jobs comes first.

if (matchMedia("(max-width: 40rem)").matches) document.querySelector("details.facts")?.removeAttribute("open");
