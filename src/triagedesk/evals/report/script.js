"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const cases = [...document.querySelectorAll("article.case")];
  const texts = cases.map((one) => one.textContent.toLowerCase());
  const dimension = document.getElementById("by-dimension");
  const words = document.getElementById("by-text");
  const chip = document.getElementById("by-cell");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  let cell = "";

  const fits = (one, index) => {
    const cells = one.dataset.cells.split(" ");
    return (!cell || cells.includes(cell)) &&
      (!dimension.value || cells.some((each) => each.startsWith(dimension.value + ":"))) &&
      texts[index].includes(words.value.trim().toLowerCase());
  };
  const apply = () => {
    let count = 0;
    cases.forEach((one, index) => { one.hidden = !fits(one, index); count += !one.hidden; });
    shown.textContent = `${count} of ${cases.length} shown`;
    nothing.hidden = count > 0;
    chip.hidden = !cell;
  };
  document.querySelectorAll("a[data-cell]").forEach((link) => link.addEventListener("click", () => {
    cell = link.dataset.cell;
    chip.textContent = `${link.dataset.words} ✕`;
    chip.setAttribute("aria-label", `Take away the filter ${link.dataset.words}`);
    dimension.value = "";
    words.value = "";
    apply();
  }));
  chip.addEventListener("click", () => { cell = ""; apply(); });
  dimension.addEventListener("change", () => { cell = ""; apply(); });
  words.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
})();
