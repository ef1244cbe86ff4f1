// Opens a figure large, over the page. Without this script it is a link to the figure's file.
document.addEventListener("DOMContentLoaded", () => {
  const links = document.querySelectorAll("a.plot");
  if (!links.length || !window.HTMLDialogElement) return;

  const dialog = document.createElement("dialog");
  dialog.className = "large";
  const image = document.createElement("img");
  const close = document.createElement("button");
  close.textContent = "Close";
  dialog.append(image, close);
  document.body.append(dialog);
  for (const element of [image, close]) element.addEventListener("click", () => dialog.close());

  for (const link of links) {
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as everywhere
      event.preventDefault();
      image.src = link.href;
      image.alt = link.querySelector("img").alt;
      dialog.showModal();
      dialog.scrollTo(0, 0);
    });
  }
});
