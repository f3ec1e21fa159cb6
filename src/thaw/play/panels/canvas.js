function render({ model, el }) {
  const size = model.get("size"), canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  canvas.className = "thaw-canvas";
  canvas.setAttribute("aria-label", "draw a digit with the mouse");
  const pen = canvas.getContext("2d");
  let current = null;
  function paint() {
    pen.fillStyle = "black";
    pen.fillRect(0, 0, size, size);
    pen.strokeStyle = pen.fillStyle = "white";
    pen.lineWidth = size / 14;
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of [...model.get("strokes"), ...(current ? [current] : [])]) {
      pen.beginPath();
      stroke.forEach(([x, y], i) => (i ? pen.lineTo(x * size, y * size) : pen.moveTo(x * size, y * size)));
      if (stroke.length === 1) pen.lineTo(stroke[0][0] * size + 0.1, stroke[0][1] * size);
      pen.stroke();
    }
  }
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    current = [at(event)];
    paint();
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => { if (current) { current.push(at(event)); paint(); } });
  const end = () => {
    if (!current) return;
    model.set("strokes", [...model.get("strokes"), current]);
    current = null;
    model.save_changes();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  const clear = document.createElement("button");  // here, so that nothing waits for the kernel
  clear.className = "jupyter-widgets jupyter-button thaw-clear";
  clear.textContent = "Clear";
  clear.addEventListener("click", () => { model.set("strokes", []); model.save_changes(); paint(); });
  model.on("change:strokes", paint);
  el.append(canvas, clear);
  paint();
}
export default { render };
