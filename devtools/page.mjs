// A page of ComfyUI in a browser, and what tests and pictures do with it.
import { createRequire } from 'node:module'

export const PACK = 'image-prompt'
export const BLANK = 'blank' // a template that only the tests have

const STEP_MS = 60000
const RUN_MS = 120000
const UNDO_MS = 10000
const SETTLE_MS = 1000
const DIALOGS = 3 // that may lie above each other

// The page, and its browser. Nothing leaves this machine.
export async function open(task) {
  const { chromium } = createRequire(import.meta.url)(task.playwright)
  const browser = await chromium.launch({
    executablePath: task.chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking']
  })
  return { browser, ...(await openAnother(browser, task)) }
}

// A page of another person, with settings of the task. The server has those of the last.
export async function openAnother(browser, task) {
  await settle(task)
  const context = await browser.newContext({ viewport: { width: 1400, height: 900 }, reducedMotion: 'reduce' })
  await context.route((url) => url.origin !== task.url, (route) => route.abort())
  await context.route(`**/workflow_templates/${PACK}/${BLANK}.json`, (route) => route.fulfill({ json: blank() }))
  const page = await context.newPage()
  page.setDefaultTimeout(STEP_MS)
  return { context, page }
}

// Write the settings. The server keeps them. Without these, a first visit is covered by a tour.
export async function settle(task) {
  const settings = {
    'Comfy.TutorialCompleted': true,
    'Comfy.InstalledVersion': '1.47.12',
    'Comfy.Locale': task.locale,
    'Comfy.VueNodes.Enabled': task.nodes2,
    'Comfy.RightSidePanel.IsOpen': false,
    'Comfy.Minimap.Visible': false,
    'Comfy.Notification.ShowVersionUpdates': false,
    'LiteGraph.Canvas.MaximumFps': 10
  }
  await fetch(`${task.url}/api/settings`, { method: 'POST', body: JSON.stringify(settings) })
}

// Open a graph that holds a note alone, and nothing of what was open before.
export async function enter(page, task) {
  if (page.url().startsWith(task.url))
    await page.evaluate(() => {
      localStorage.clear()
      sessionStorage.clear()
    })
  await page.goto(`${task.url}/?template=${BLANK}&source=${PACK}`, { waitUntil: 'domcontentloaded' })
  await page.waitForFunction(() => window.app?.extensionManager && window.app.graph?.nodes.length === 1)
  await page.waitForTimeout(SETTLE_MS) // ComfyUI's own first graph may come and go
  await page.waitForFunction(() => window.app.graph.nodes.length === 1)
}

// Close the dialogs that are open, and open an empty graph in a tab of its own.
export async function tidy(page) {
  for (let time = 0; time < DIALOGS && (await page.locator('.p-dialog-mask').count()); time++) {
    await page.keyboard.press('Escape')
    await page.waitForTimeout(SETTLE_MS / 2)
  }
  await clear(page)
}

// A graph that holds a note alone.
function blank() {
  const note = { id: 1, type: 'Note', pos: [0, 0], size: [200, 80], flags: {}, order: 0, mode: 0, widgets_values: [''] }
  return { nodes: [{ ...note, inputs: [], outputs: [], properties: {} }], links: [], last_node_id: 1, version: 0.4 }
}

const NOT_NOW = 'status of 503' // a browser says so itself of answers that the page shows in words

// Errors that name the pack, or that come of a file of its own.
export function listen(page, pack) {
  const complaints = []
  page.on('pageerror', (error) => complaints.push(error.stack))
  page.on('console', (message) => {
    const said = `${message.text()} ${message.location().url}`
    if (message.type() === 'error' && said.includes(pack) && !said.includes(NOT_NOW)) complaints.push(said)
  })
  return complaints
}

// Queue the graph that is open, as a person does, and wait for its end. How it ended, or why it was refused.
export async function run(page) {
  await page.evaluate(() => {
    window.ended = null
    for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
      window.comfyAPI.api.api.addEventListener(kind, (event) => (window.ended = { kind, ...event.detail }), { once: true })
  })
  const answered = page.waitForResponse((answer) => /\/prompt$/.test(answer.url()) && answer.request().method() === 'POST')
  await page.getByTestId('queue-button').click()
  const answer = await answered
  if (!answer.ok()) return { kind: 'refused', ...(await answer.json()) }
  await page.waitForFunction(() => window.ended, null, { timeout: RUN_MS })
  return page.evaluate(() => window.ended)
}

// Open an empty graph. It has an id of its own: by this, and by the ids of nodes, ComfyUI keeps the values of inputs, also
// those of nodes that are gone.
export async function clear(page) {
  await page.evaluate(() => window.app.loadGraphData({ id: crypto.randomUUID(), nodes: [], links: [], version: 0.4 }))
  await page.waitForFunction(() => window.app.graph.nodes.length === 0)
}

// Add nodes to the graph, and wire them: {name: {type, pos, inputs: {name: value or [name, output]}}}. The ids, by name.
export async function add(page, nodes) {
  return page.evaluate((nodes) => {
    const { graph } = window.app
    const made = {}
    for (const [name, { type, pos = [0, 0] }] of Object.entries(nodes)) {
      made[name] = window.LiteGraph.createNode(type)
      made[name].pos = pos
      graph.add(made[name])
    }
    for (const [name, { inputs = {} }] of Object.entries(nodes))
      for (const [input, value] of Object.entries(inputs)) {
        if (Array.isArray(value)) made[value[0]].connect(value[1], made[name], made[name].findInputSlot(input))
        else made[name].widgets.find((widget) => widget.name === input).value = value
      }
    return Object.fromEntries(Object.entries(made).map(([name, node]) => [name, node.id]))
  }, nodes)
}

// Show a node at the scale of the screen, clear of the bars.
export async function focus(page, id, scale = 1) {
  await page.evaluate(
    ([id, scale]) => {
      const { canvas, graph } = window.app
      const node = graph.getNodeById(id)
      canvas.ds.scale = scale
      canvas.ds.offset = [300 / scale - node.pos[0], 150 / scale - node.pos[1]]
      canvas.setDirty(true, true)
    },
    [id, scale]
  )
  await page.waitForTimeout(200) // until elements have followed
}

// The values of a node's inputs, by name.
export function values(page, id) {
  return page.evaluate(
    (id) =>
      Object.fromEntries((window.app.graph.getNodeById(id).widgets ?? []).map((widget) => [widget.name, widget.value])),
    id
  )
}

// Give an input of a node a value, as if it was typed.
export async function set(page, id, name, value) {
  await page.evaluate(
    ([id, name, value]) => {
      const widget = window.app.graph.getNodeById(id).widgets.find((each) => each.name === name)
      widget.value = value
      widget.callback?.(value)
    },
    [id, name, value]
  )
}

// {name: value}: the inputs of a copy of a node, which is pasted and removed.
export function copied(page, id) {
  return page.evaluate((id) => {
    const { canvas, graph } = window.app
    const before = new Set(graph.nodes)
    canvas.deselectAll()
    canvas.selectNode(graph.getNodeById(id))
    canvas.copyToClipboard()
    canvas.pasteFromClipboard()
    const pasted = graph.nodes.find((node) => !before.has(node))
    const kept = pasted.widgets.filter(({ serialize }) => serialize !== false)
    graph.remove(pasted)
    return Object.fromEntries(kept.map(({ name, value }) => [name, value]))
  }, id)
}

// Save the graph and open what was saved. The values of a node's inputs in the file, in their order.
export function reopened(page, id) {
  return page.evaluate(async (id) => {
    const file = JSON.parse(JSON.stringify(window.app.graph.serialize()))
    await window.app.loadGraphData(file)
    return file.nodes.find((node) => String(node.id) === String(id)).widgets_values
  }, id)
}

// Drag from one place on an element to another, [x, y] each from 0 to 1.
export async function drag(page, element, from, to, steps = 8) {
  const box = await element.boundingBox()
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height]
  await page.mouse.move(...at(from))
  await page.mouse.down()
  await page.mouse.move(...at(to), { steps })
  await page.mouse.up()
}

// Press a key, and wait for the frame in which ComfyUI notes what it changed: keys within one frame are one step of undo.
export async function press(page, key) {
  await page.keyboard.press(key)
  await page.evaluate(() => new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen))))
}

// Undo a step by keys, and wait until it has changed a value of the node.
export async function undo(page, id) {
  const before = JSON.stringify(await values(page, id))
  await page.keyboard.press('Control+z')
  await page.waitForFunction(
    ([id, before]) => {
      const { graph, extensionManager } = window.app
      const widgets = graph.getNodeById(id)?.widgets ?? []
      const now = JSON.stringify(Object.fromEntries(widgets.map(({ name, value }) => [name, value])))
      const goesOn = extensionManager.workflow.activeWorkflow.changeTracker._restoringState // takes no other step
      return !goesOn && widgets.length && now !== before
    },
    [id, before],
    { timeout: UNDO_MS }
  )
}
