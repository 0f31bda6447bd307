// Draws each plot once it is not folded away, and draws it again when the reader changes between light and dark.
// Colours in the plots are names of roles; what a role looks like is decided here, so that a change is a redraw.
"use strict";
(() => {
  const LIGHT = {
    text: "#1b1f24", paper: "#ffffff", grid: "#e4e7eb", quiet: "#6b7580",
    ok: "#0072b2", fail: "#c4460c", unknown: "#b07a00", other: "#007a5e",
    fault: "rgba(204,121,167,0.20)", faultline: "#a04a7d",
  };
  const DARK = {
    text: "#e4e7eb", paper: "#14171b", grid: "#2e343b", quiet: "#8d97a2",
    ok: "#6cb8f0", fail: "#ff8a50", unknown: "#f2c14e", other: "#4fd1a5",
    fault: "rgba(224,140,190,0.20)", faultline: "#d893bb",
  };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 40rem)");
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };

  const painted = (value, colours) => {
    if (typeof value === "string") return value[0] === "@" && value.slice(1) in colours ? colours[value.slice(1)] : value;
    if (Array.isArray(value)) return value.map((part) => painted(part, colours));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, painted(part, colours)]));
  };

  const draw = (plot) => {
    const colours = dark.matches ? DARK : LIGHT;
    const { data, layout } = painted(JSON.parse(document.getElementById(plot.dataset.spec).textContent), colours);
    for (const key of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      layout[key] = { gridcolor: colours.grid, linecolor: colours.grid, zerolinecolor: colours.grid, ...layout[key] };
    }
    const size = narrow.matches ? 10 : 12;
    Object.assign(layout, {
      paper_bgcolor: colours.paper, plot_bgcolor: colours.paper, autosize: true,
      font: { color: colours.text, size, family: getComputedStyle(document.body).fontFamily },
      hoverlabel: { align: "left" },
    });
    Plotly.react(plot, data, layout, config);
    plot.dataset.drawn = "yes";
  };

  const plots = [...document.querySelectorAll(".plot")];
  const isShown = (plot) => !plot.closest("details:not([open])");
  const drawShown = () => plots.filter((plot) => isShown(plot) && !plot.dataset.drawn).forEach(draw);
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", drawShown));
  dark.addEventListener("change", () => plots.filter((plot) => plot.dataset.drawn).forEach(draw));

  // A link to evidence opens what it is folded into.
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target) target.scrollIntoView();
  };
  window.addEventListener("hashchange", unfold);
  unfold();
  drawShown();
})();
