// A person records the influence of a reference, and looks at its maps.
import { drag, focus, run, values } from '../page.mjs'

const VIEW = '[data-image-prompt=influence_map]'

let page, task // of the visit

export async function play(visit) {
  ;({ page, task } = visit)
  const { shot } = visit
  await page.evaluate((graph) => window.app.loadGraphData(graph), task.graph)
  const id = await find('ImagePromptInfluenceMap')
  await focus(page, id)
  const seen = { id, before: await said() }
  seen.ended = await run(page)
  await page.locator(`${VIEW}:not([data-shows=""])`).waitFor()
  seen.after = await page.evaluate((id) => window.app.nodeOutputs[id].image_prompt_influence_map[0], id)
  await page.waitForTimeout(300)
  seen.own = await previews(id)
  seen.first = [await said(), await middle()]
  await shot('run')

  const [names, pictures] = [0, 1].map((number) => page.locator(`${VIEW} + div select`).nth(number))
  seen.names = await names.locator('option').allInnerTexts()
  seen.pictures = await pictures.locator('option').allInnerTexts()
  await page.locator(VIEW).focus()
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowRight')
  seen.second = [await names.inputValue(), await pictures.inputValue(), await said()]
  await page.locator(VIEW).focus()
  await page.keyboard.press('ArrowUp')
  await page.keyboard.press('ArrowLeft')

  await page.mouse.click(10, 500) // what was done so far is a step of its own
  await drag(page, page.locator(`${VIEW} + div input[type=range]`), [0.7, 0.5], [0.02, 0.5])
  seen.clear = [(await values(page, id)).opacity, await middle()]
  await shot('clear')
  await page.mouse.click(10, 500)
  await page.keyboard.press('Control+z')
  await page.waitForFunction((id) => window.app.graph.getNodeById(id)?.widgets?.[1].value === 0.7, id)
  await page.locator(`${VIEW}:not([data-shows=""])`).waitFor()
  seen.undone = [(await values(page, id)).opacity, await said()]

  seen.saved = await page.evaluate(async (id) => {
    const file = JSON.parse(JSON.stringify(window.app.graph.serialize()))
    await window.app.loadGraphData(file)
    return file.nodes.find((node) => String(node.id) === String(id)).widgets_values
  }, id)
  seen.loaded = await values(page, id)
  return seen
}

// --------------------------------------------------------------------------------------------------------------- steps

function find(type) {
  return page.evaluate((type) => window.app.graph.nodes.find((node) => node.type === type).id, type)
}

// What stands below the map.
function said() {
  return page.locator(`${VIEW} ~ div`).last().innerText()
}

// How many pictures core shows on a node.
async function previews(id) {
  if (task.nodes2) return page.locator(`[data-node-id="${id}"] img`).count()
  return page.evaluate((id) => window.app.graph.getNodeById(id).imgs?.length ?? 0, id)
}

// The colour in the middle of the view.
function middle() {
  return page.evaluate(async (view) => {
    await new Promise((resolve) => setTimeout(resolve, 300)) // until it is drawn
    const canvas = document.querySelector(`${view} canvas`)
    const at = [Math.floor(canvas.width / 2), Math.floor(canvas.height / 2)]
    return [...canvas.getContext('2d').getImageData(...at, 1, 1).data]
  }, VIEW)
}
