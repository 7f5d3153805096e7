// A formula in a line that is wider than its paragraph gets a line of its own, which scrolls.
function makeRoom() {
  for (const formula of document.querySelectorAll("span.arithmatex")) {
    const paragraph = formula.parentElement;
    formula.classList.toggle("wide", formula.offsetWidth > paragraph.clientWidth);
  }
}

window.MathJax = {
  tex: {
    inlineMath: [["\\(", "\\)"]],
    displayMath: [["\\[", "\\]"]],
    processEscapes: true,
    processEnvironments: true,
  },
  options: { ignoreHtmlClass: ".*|", processHtmlClass: "arithmatex" },
  startup: {
    pageReady: () => MathJax.startup.defaultPageReady().then(makeRoom),
  },
};
