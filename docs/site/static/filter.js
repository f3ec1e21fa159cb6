// Shows the lines of the tables that hold every word of the search field.
const field = document.getElementById("filter");
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const table of document.querySelectorAll("table.numbers")) {
    let any = false;
    for (const line of table.tBodies[0].rows) {
      const text = line.textContent.toLowerCase();
      line.hidden = !words.every((word) => text.includes(word));
      any ||= !line.hidden;
    }
    table.closest("details").hidden = !any;
  }
});
