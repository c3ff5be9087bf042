// The bar of the weight, by mouse and by keyboard, and a number outside it.
import { add, clear, drag, focus, values } from '../../../../devtools/page.mjs'

export async function play({ page, task, shot }) {
  await clear(page)
  const ids = await add(page, { apply: { type: 'ImagePromptApply', pos: [0, 0] } })
  await focus(page, ids.apply)
  const bar = page.getByRole('slider', { name: 'weight', exact: true })
  const weight = async () => (await values(page, ids.apply)).weight
  const seen = {}

  await drag(page, bar, [0.9, 0.5], [0.305, 0.5])
  seen.dragged = await weight()
  await drag(page, bar, [0.5, 0.5], [1.4, 0.5])
  seen.beyond = await weight()
  await page.keyboard.press('ArrowRight', { delay: 50 })
  await page.keyboard.press('Shift+ArrowRight', { delay: 50 })
  seen.keys = { weight: await weight(), outside: await bar.getAttribute('data-outside') }
  await shot('above')
  await page.keyboard.press('Control+z', { delay: 100 })
  await page.waitForTimeout(500)
  seen.undone = await weight()

  await page.evaluate((id) => {
    const widget = window.app.graph.getNodeById(id).widgets.find((each) => each.name === 'weight')
    widget.value = -0.5 // typed
    widget.callback(-0.5)
  }, ids.apply)
  seen.typed = { weight: await weight(), outside: await bar.getAttribute('data-outside') }
  await shot('below')
  seen.saved = await page.evaluate(
    (id) => window.app.graph.serialize().nodes.find((node) => String(node.id) === String(id)).widgets_values,
    ids.apply
  )
  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
  seen.loaded = await weight()

  await page.evaluate(() => window.app.extensionManager.setting.set('image-prompt.views', false))
  await clear(page)
  const hidden = await add(page, { apply: { type: 'ImagePromptApply', pos: [0, 0] } })
  await focus(page, hidden.apply)
  seen.hidden = await page.getByRole('slider', { name: 'weight', exact: true }).count()
  await shot('hidden')
  await page.evaluate(() => window.app.extensionManager.setting.set('image-prompt.views', true))
  return seen
}
