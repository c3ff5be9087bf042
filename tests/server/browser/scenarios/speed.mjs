// How long the scripts work while a bar is dragged, and how long graphs take to open.
import { add, clear, focus } from '../../../../devtools/page.mjs'

const FRAMES = 30
const MOVES = 3 // in each frame
const TIMES = 5
const COUNT = 50 // nodes of a graph

export async function play({ page, task }) {
  await clear(page)
  const ids = await add(page, { weights: { type: 'ImagePromptLayerWeights' } })
  await focus(page, ids.weights)
  const bars = page.locator('canvas[data-capture-wheel]')
  const box = await bars.boundingBox()
  await page.mouse.move(box.x + box.width / 4, box.y + box.height / 2)
  await page.mouse.down()
  const dragged = await bars.evaluate(drag, { frames: FRAMES, moves: MOVES })
  await page.mouse.up()
  const parts = await page.evaluate(partsOf, task.kinds)
  const opened = await page.evaluate(openInTurns, { kinds: task.kinds, count: COUNT, times: TIMES })
  await clear(page)
  return { dragged, parts, opened }
}

// {paints, work}: how often the canvas is painted in each frame, and the milliseconds that the scripts work for it, from
// the moves of the pointer to the end of the painting. What the machine does meanwhile is not counted.
async function drag(canvas, { frames, moves }) {
  const { requestAnimationFrame: ask } = window
  const frame = () => new Promise((resolve) => ask.call(window, resolve))
  let painted = 0
  let work = 0
  const width = Object.getOwnPropertyDescriptor(HTMLCanvasElement.prototype, 'width')
  const counted = { ...width, set(value) { painted++; width.set.call(this, value) } } // it is set for each painting
  Object.defineProperty(canvas, 'width', counted)
  window.requestAnimationFrame = (callback) =>
    ask.call(window, (time) => {
      const [before, start] = [painted, performance.now()]
      callback(time)
      if (painted > before) work += performance.now() - start
    })
  const seen = { paints: [], work: [] }
  const box = canvas.getBoundingClientRect()
  for (let number = 0; number < frames; number++) {
    await frame()
    painted = work = 0
    for (let move = 0; move < moves; move++) {
      const clientX = box.left + box.width * (0.2 + (0.6 * number) / frames)
      const clientY = box.top + box.height * (0.3 + 0.1 * ((number + move) % 5))
      const start = performance.now()
      canvas.dispatchEvent(new PointerEvent('pointermove', { clientX, clientY, buttons: 1, pointerId: 1, bubbles: true }))
      work += performance.now() - start
    }
    await frame()
    seen.paints.push(painted)
    seen.work.push(work)
  }
  window.requestAnimationFrame = ask
  delete canvas.width
  return seen
}

// {kind: {sockets, widgets, elements}}: how many of them a node of each type has, together; of the widgets, those that are
// elements of the page count in both.
function partsOf(kinds) {
  const count = (types) => {
    const nodes = types.map((type) => window.LiteGraph.createNode(type))
    const widgets = nodes.flatMap((node) => node.widgets)
    for (const node of nodes) node.onRemoved?.()
    return {
      sockets: nodes.flatMap((node) => node.inputs.filter((input) => !input.widget)).length,
      widgets: widgets.length,
      elements: widgets.filter((widget) => widget.element).length
    }
  }
  return Object.fromEntries(Object.entries(kinds).map(([kind, types]) => [kind, count(types)]))
}

// {kind: milliseconds}: how long graphs of nodes take from the file to the next frame, in turns.
async function openInTurns({ kinds, count, times }) {
  const files = {}
  for (const [kind, types] of Object.entries(kinds)) {
    window.app.graph.clear()
    for (let number = 0; number < count; number++) {
      const node = window.LiteGraph.createNode(types[number % types.length])
      node.pos = [400 * (number % 10), 500 * Math.floor(number / 10)]
      window.app.graph.add(node)
    }
    files[kind] = window.app.graph.serialize()
  }
  const taken = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, []]))
  for (let time = 0; time <= times; time++)
    for (const [kind, file] of Object.entries(files)) {
      const start = performance.now()
      await window.app.loadGraphData(JSON.parse(JSON.stringify(file)))
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
      if (time) taken[kind].push(performance.now() - start) // the first one warms up
    }
  return taken
}
