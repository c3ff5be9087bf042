// The curve of Step Weights: its ends, keyframes that are added, moved and removed, undone, copied, saved, run, marked.
import { heightOf, rangeOf } from '../../../../js/lib/plot.mjs'
import { boxOf, xOf } from '../../../../js/step_weights/draw.mjs'
import { add, clear, copied, focus, press, reopened, run, set, undo, values } from '../../../../devtools/page.mjs'

let page

export async function play(visit) {
  ;({ page } = visit)
  const { shot } = visit
  await clear(page)
  const { weights: id } = await add(page, {
    weights: { type: 'ImagePromptStepWeights' },
    text: { type: 'PreviewAny', pos: [700, 0], inputs: { source: ['weights', 1] } }
  })
  await focus(page, id)
  await page.mouse.click(700, 700) // here the first step of undo begins
  const canvas = page.locator('canvas[data-capture-wheel]')
  await canvas.waitFor()
  const problem = canvas.locator('xpath=..').getByRole('alert')
  const found = {}
  const keep = async (what) => {
    const { curve, first, last, curve_start, curve_end, keyframes } = await values(page, id)
    found[what] = [curve, first, last, curve_start, curve_end, keyframes]
  }
  const change = (name, value) => set(page, id, name, value)

  // Where a point is on the screen.
  async function place(progress, weight) {
    const outer = await canvas.boundingBox()
    const [width, height] = await canvas.evaluate(({ clientWidth, clientHeight }) => [clientWidth, clientHeight])
    const box = boxOf(width, height)
    const y = heightOf(weight, rangeOf([]), box)
    return [outer.x + (xOf(progress, box) / width) * outer.width, outer.y + (y / height) * outer.height]
  }
  async function pull(from, to) {
    await page.mouse.move(...(await place(...from)))
    await page.mouse.down()
    await page.mouse.move(...(await place(...to)), { steps: 8 })
    await page.mouse.up()
  }

  await pull([0, 1], [0.4, 0.6])
  await keep('constant')
  await change('curve', 'ease in')
  await page.mouse.click(800, 600) // elsewhere than before: two quick clicks at one place open the search for nodes
  await pull([0, 0.6], [0.2, 0.8])
  await pull([1, 0], [0.7, 0.1])
  await keep('ends')
  await page.mouse.move(...(await place(0.45, 0.5)))
  await page.waitForTimeout(100)
  found.hovered = await canvas.getAttribute('aria-label')
  await shot('ease in')
  await page.mouse.dblclick(...(await place(0.4, 0.3)))
  await keep('added')
  await pull([0.4, 0.3], [0.5, 0.95])
  await keep('moved')
  for (const key of ['ArrowRight', 'ArrowDown']) await press(page, key)
  await keep('keys')
  await shot('keyframes')
  await pull([0.2, 0.8], [0.2, -1])
  await keep('out')
  await press(page, 'End')
  await press(page, 'Delete')
  await keep('deleted')
  for (const what of ['deleted', 'out', 'keys', 'keys', 'moved', 'added', 'ends']) {
    await undo(page, id)
    await keep(`before ${what}`)
  }
  await focus(page, id)

  await change('curve', 'keyframes')
  await keep('from a curve')
  await change('curve', 'linear')
  await keep('another curve')
  await change('curve', 'keyframes')
  await keep('back again')
  await change('keyframes', '0:1, 0.5;0')
  await page.waitForTimeout(100)
  found.problem = await problem.textContent()
  await keep('bad')
  await shot('bad')
  await change('keyframes', '0:0, 1:1\n0:1 hold, 0.6:0.3\n0.5')
  await page.mouse.click(...(await place(0.3, 1)))
  await pull([0.6, 0.3], [0.8, 0.2])
  await keep('second picture')
  await page.mouse.move(700, 700)
  await page.waitForTimeout(100)
  await shot('pictures')

  found.copied = Object.values(await copied(page, id))
  found.saved = await reopened(page, id)
  found.ended = await run(page)
  return found
}
