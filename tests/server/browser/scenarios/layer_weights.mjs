// The bars of Layer Weights: drawn with the mouse, moved by keys and wheel, undone, copied, saved, run, and marked.
import { layout } from '../../../../js/layer_weights/layout.mjs'
import { heightOf, rangeOf } from '../../../../js/lib/plot.mjs'
import { add, clear, copied, focus, press, reopened, run, set, undo, values } from '../../../../devtools/page.mjs'

const LOOKS = 40

let page

export async function play(visit) {
  ;({ page } = visit)
  const { shot } = visit
  await clear(page)
  const ids = await add(page, {
    // the model first: a node that is clicked comes last, and ComfyUI would number its order anew, a step of its own
    model: { type: 'ImagePromptDemoCheckpoint', pos: [-700, 0], inputs: { base_model: 'SDXL' } },
    weights: { type: 'ImagePromptLayerWeights' },
    text: { type: 'PreviewAny', pos: [700, 0], inputs: { source: ['weights', 1] } }
  })
  const id = ids.weights
  await focus(page, id)
  await page.mouse.click(700, 700) // here the first step of undo begins
  const canvas = page.locator('canvas[data-capture-wheel]')
  const models = await page.evaluate(async () => (await (await fetch('/image-prompt/blocks')).json()).models)
  const select = canvas.locator('xpath=../..').locator('select')
  const problem = canvas.locator('xpath=..').getByRole('alert')
  await page.waitForFunction((select) => select.value, await select.elementHandle())
  const found = {}
  const keep = async (what) => {
    const { preset, values: text } = await values(page, id)
    found[what] = [preset, text]
  }

  // Where a bar has a weight on the screen.
  async function place(bar, weight) {
    const box = await canvas.boundingBox()
    const { clientWidth, clientHeight } = await canvas.evaluate(({ clientWidth, clientHeight }) => ({ clientWidth, clientHeight }))
    const { blocks } = models.find(({ title }) => title === 'SD1.5')
    const { slots, box: inner } = layout(blocks, clientWidth, clientHeight)
    const x = slots[bar].left + slots[bar].width / 2
    return [box.x + (x / clientWidth) * box.width, box.y + (heightOf(weight, rangeOf([]), inner) / clientHeight) * box.height]
  }
  async function draw(...places) {
    await page.mouse.move(...(await place(...places[0])))
    await page.mouse.down()
    for (const each of places.slice(1)) await page.mouse.move(...(await place(...each)), { steps: 6 })
    await page.mouse.up()
  }
  // Do what the page takes its time for.
  async function changed(act) {
    const text = () => page.evaluate((id) => window.app.graph.getNodeById(id).widgets.find(({ name }) => name === 'values').value, id)
    const before = await text()
    await act()
    for (let look = 0; look < LOOKS && (await text()) === before; look++) await page.waitForTimeout(50)
  }
  const change = (name, value) => set(page, id, name, value)

  found.model = await select.inputValue()
  await keep('fresh')
  await page.mouse.move(...(await place(15, 0.5)))
  await page.waitForTimeout(100)
  found.hovered = await canvas.getAttribute('aria-label')
  await shot('fresh')

  await draw([8, 0], [15, 0])
  await keep('drawn')
  await page.keyboard.down('Shift')
  await draw([1, 0.2], [1, 0.5])
  await page.keyboard.up('Shift')
  await keep('kind')
  await page.mouse.dblclick(...(await place(3, 0.3)))
  await keep('double')
  await shot('drawn')
  await press(page, 'ArrowRight')
  for (const key of ['ArrowUp', 'PageUp']) await press(page, key)
  await keep('keys')
  await page.mouse.move(...(await place(4, 0.1)))
  for (let turn = 0; turn < 3; turn++) await changed(() => page.mouse.wheel(0, 100))
  await keep('wheel')
  for (const what of ['wheel', 'keys', 'keys', 'double', 'double', 'kind', 'drawn']) {
    await undo(page, id)
    await keep(`before ${what}`)
  }
  await focus(page, id)

  await change('preset', 'style')
  await change('preset', 'values')
  await keep('from a preset')
  await change('preset', 'precise style')
  await keep('another preset')
  await page.waitForTimeout(100)
  await shot('precise style')
  await change('preset', 'values')
  await keep('back again')
  await change('values', '1, two, 3')
  await page.waitForTimeout(100)
  found.problem = await problem.textContent()
  await keep('bad')
  await shot('bad')

  await change('values', '0:0.5, 15:2')
  found.copied = Object.values(await copied(page, id))
  found.saved = await reopened(page, id)
  await focus(page, id)
  await keep('loaded')
  found.ended = await run(page)
  await page.evaluate((ids) => {
    const { graph } = window.app
    graph.getNodeById(ids.model).connect(0, graph.getNodeById(ids.weights), 'model')
  }, ids)
  await change('values', '1:0.5')
  found.again = await run(page)
  await page.waitForTimeout(300)
  found.ran = await page.locator('canvas[data-capture-wheel]').locator('xpath=../..').locator('select').inputValue()
  await shot('after a run')
  await page.mouse.click(700, 700) // what was done so far is a step of its own
  await canvas.focus()
  await press(page, 'Home')
  await press(page, 'ArrowUp')
  await undo(page, id)
  await page.waitForTimeout(300)
  found.undone = await select.inputValue()
  await page.evaluate((id) => {
    const { graph } = window.app
    const loader = window.LiteGraph.createNode('CheckpointLoaderSimple')
    graph.add(loader)
    loader.widgets[0].value = 'v1-5-pruned.safetensors'
    loader.connect(0, graph.getNodeById(id), 'model')
  }, id)
  await page.waitForTimeout(300)
  found.replaced = await select.inputValue()
  return found
}
