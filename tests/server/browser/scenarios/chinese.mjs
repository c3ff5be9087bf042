// A person who reads Chinese: what a node, its tooltips and its help page say, and what a run sends.
import { PACK, add, enter, focus, listen, openAnother, run, settle } from '../../../../devtools/page.mjs'

const HELP_MS = 20000
const TOOLTIPS = '.node-tooltip, .p-tooltip-text, [data-testid="tooltip-content"] div[role="tooltip"]' // 1.47 and 1.58

let page, task // of this person

export async function play(visit) {
  task = { ...visit.task, locale: 'zh' }
  const opened = await openAnother(visit.context.browser(), task)
  page = opened.page
  const complaints = listen(page, PACK)
  try {
    return { ...(await look()), complaints }
  } finally {
    await page.screenshot({ path: `${task.pictures}/chinese.png` })
    await opened.context.close()
    await settle(visit.task)
  }
}

async function look() {
  await enter(page, task)
  const { encode, weights } = await add(page, task.nodes)
  await focus(page, encode)
  const seen = { texts: await read(encode), tooltip: await hover(encode), help: await openHelp(encode), ...(await ask()) }
  await focus(page, weights)
  return { ...seen, choices: await openChoices(weights), ended: await run(page) }
}

// What there is to read on a node: elements, or what is painted.
async function read(id) {
  if (task.nodes2) return page.locator(`[data-node-id="${id}"]`).innerText()
  return page.evaluate(async () => {
    const { prototype } = CanvasRenderingContext2D
    const { fillText } = prototype
    const painted = []
    prototype.fillText = function (text, ...place) {
      painted.push(text)
      return fillText.call(this, text, ...place)
    }
    window.app.canvas.setDirty(true, true)
    await new Promise((resolve) => setTimeout(resolve, 300))
    prototype.fillText = fillText
    return painted.join('\n')
  })
}

// The tooltip of the first input that is no socket.
async function hover(id) {
  if (task.nodes2) await widget(id).hover()
  else await page.mouse.move(...(await placeOfWidget(id)), { steps: 3 })
  const tooltip = page.locator(TOOLTIPS).filter({ hasText: /\S/ })
  return tooltip.innerText({ timeout: HELP_MS })
}

async function openHelp(id) {
  await page.mouse.move(5, 5)
  await page.evaluate((id) => window.app.canvas.selectNode(window.app.graph.getNodeById(id)), id)
  await page.getByTestId('info-button').click()
  const panel = page.getByTestId('properties-panel')
  await panel.locator('h1', { hasText: task.title }).waitFor({ timeout: HELP_MS })
  return panel.innerText()
}

// What the pack offers elsewhere, as its scripts say it: categories, settings and commands.
function ask() {
  return page.evaluate(() => {
    const ours = window.app.extensions.filter(({ name }) => name.startsWith('image-prompt.'))
    const all = (what) => ours.flatMap((each) => each[what] ?? [])
    return {
      category: window.LiteGraph.registered_node_types.ImagePromptEncode.category,
      settings: all('settings').map(({ id, name, tooltip, category }) => ({ id, words: { name, tooltip }, category })),
      commands: all('commands').map(({ id, label, tooltip }) => ({ id, words: { label, tooltip } }))
    }
  })
}

// The choices of a combo box, as they are shown when it is opened.
async function openChoices(id) {
  if (task.nodes2) await widget(id).getByRole('combobox').click()
  else await page.mouse.click(...(await placeOfWidget(id)))
  const shown = await page.locator('[role="option"], .litemenu-entry').allInnerTexts()
  await page.keyboard.press('Escape')
  return shown.map((each) => each.trim())
}

const widget = (id) => page.locator(`[data-node-id="${id}"]`).getByTestId('node-widget').first()

// The middle of it on the canvas.
function placeOfWidget(id) {
  return page.evaluate((id) => {
    const { canvas, graph } = window.app
    const node = graph.getNodeById(id)
    const [x, y] = canvas.ds.convertOffsetToCanvas([node.pos[0] + node.size[0] / 2, node.pos[1] + node.widgets[0].y + 10])
    const box = canvas.canvas.getBoundingClientRect()
    return [x + box.left, y + box.top]
  }, id)
}
