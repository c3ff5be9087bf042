// A person records the influence of a reference, and looks at its maps.
import { drag, focus, reopened, run, values } from '../../../../devtools/page.mjs'

const VIEW = '[data-image-prompt=influence_map]'

let page, task // of the visit

export async function play(visit) {
  ;({ page, task } = visit)
  const { shot } = visit
  const sampler = task.graph.nodes.find((node) => node.type === 'KSampler')
  sampler.widgets_values[0] = task.nodes2 ? 2 : 1 // the server keeps what the other renderer sampled
  await page.evaluate((graph) => window.app.loadGraphData(graph), task.graph)
  const id = await find('ImagePromptInfluenceMap')
  await focus(page, id)
  const seen = { id, before: await said() }
  await followLive(await find('ImagePromptRecordInfluence'))
  seen.ended = await run(page)
  seen.live = await page.evaluate(() => window.live.map(({ at }) => at))
  seen.last = await lastLive()
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

  seen.saved = await reopened(page, id)
  seen.loaded = await values(page, id)
  return seen
}

// --------------------------------------------------------------------------------------------------------------- steps

function find(type) {
  return page.evaluate((type) => window.app.graph.nodes.find((node) => node.type === type).id, type)
}

// Keep the live pictures of a node, and how many steps the sampler had made then.
function followLive(id) {
  return page.evaluate((id) => {
    const { api } = window.comfyAPI.api
    let at = 0
    window.live = []
    api.addEventListener('progress', ({ detail }) => (at = detail.value))
    api.addEventListener('b_preview_with_metadata', ({ detail: { nodeId, blob } }) => {
      if (String(nodeId) === String(id)) window.live.push({ at, blob })
    })
  }, id)
}

// The last live picture that came: how bright it is from the left to the right, at eight places of two rows.
function lastLive() {
  return page.evaluate(async () => {
    const bitmap = await createImageBitmap(window.live.at(-1).blob)
    const { width, height } = bitmap
    const context = new OffscreenCanvas(width, height).getContext('2d')
    context.drawImage(bitmap, 0, 0)
    const at = (x, y) => context.getImageData(Math.floor(x * width), Math.floor(y * height), 1, 1).data[0]
    return [0.25, 0.75].map((y) => Array.from({ length: 8 }, (_, place) => at((place + 0.5) / 8, y)))
  })
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
