// The references panel: saved features are seen, searched, put into the graph by click, key and drag, and deleted.
import { clear, values } from '../../../../devtools/page.mjs'

const TAB = 'Saved references of image prompts'

export async function play({ page, task, shot }) {
  await clear(page)
  const tab = page.getByRole('button', { name: TAB, exact: true })
  await tab.click()
  const panel = page.locator('[data-panel="image-prompt-references"]')
  const cards = panel.locator('.ipp-reference')
  const cardOf = (name) => panel.locator(`.ipp-reference[data-name="${name}"]`)
  await cards.first().waitFor()
  const seen = { listed: await names(cards), texts: await cards.allInnerTexts() }
  await cardOf(task.cat).locator('img').evaluate((img) => img.decode())
  seen.thumbnail = await cardOf(task.cat).locator('img').evaluate((img) => [img.naturalWidth, img.naturalHeight])
  await shot('open')

  const search = panel.getByRole('searchbox')
  await search.fill('demo dog')
  seen.searched = await names(cards)
  await search.fill('no such thing')
  seen.nothing = await panel.locator('.ipp-empty').innerText()
  await search.press('Escape')

  await cardOf(task.cat).click()
  await page.waitForFunction(() => window.app.graph.nodes.length === 1)
  await page.waitForTimeout(300) // the step ends a few frames later
  seen.clicked = await loaders(page)
  await page.keyboard.press('Control+z')
  await page.waitForFunction(() => window.app.graph.nodes.length === 0)
  await page.keyboard.press('Control+Shift+z')
  await page.waitForFunction(() => window.app.graph.nodes.length === 1)
  seen.redone = await loaders(page)

  await cardOf(task.cat).focus()
  await page.keyboard.press('ArrowRight')
  seen.focused = await page.evaluate(() => document.activeElement.dataset.name)
  await page.keyboard.press('Enter')
  await page.waitForFunction(() => window.app.graph.nodes.length === 2)
  await cardOf(task.cat).dragTo(page.locator('#graph-canvas'), { targetPosition: { x: 500, y: 250 } })
  await page.waitForFunction(() => window.app.graph.nodes.length === 3)
  seen.inserted = await loaders(page)
  seen.dropped = await page.evaluate(() => {
    const { pos } = window.app.graph.nodes.at(-1)
    return window.app.canvasPosToClientPos([pos[0], pos[1]])
  })
  await shot('inserted')
  await page.evaluate(() => window.app.loadGraphData(JSON.parse(JSON.stringify(window.app.graph.serialize()))))
  seen.reloaded = await loaders(page)

  await cardOf(task.cat).focus()
  await page.keyboard.press('Delete')
  const dialog = page.getByRole('dialog')
  await dialog.waitFor()
  await shot('question')
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  seen.kept = await names(cards)
  await cardOf(task.cat).hover()
  await cardOf(task.cat).getByRole('button').click()
  await dialog.waitFor()
  await dialog.getByRole('button').last().click()
  await cardOf(task.cat).waitFor({ state: 'detached' })
  seen.left = await names(cards)
  for (const name of seen.left.filter((each) => task.mine.includes(each))) await remove(page, name)
  await panel.getByRole('button', { name: 'Refresh' }).click()
  await page.waitForTimeout(300)
  seen.end = await names(cards)
  const list = '**/image-prompt/references'
  await page.route(list, (route) => route.fulfill({ json: { references: [] } })) // others may have saved features
  await panel.getByRole('button', { name: 'Refresh' }).click()
  await cards.first().waitFor({ state: 'detached' })
  seen.empty = await panel.locator('.ipp-empty').innerText()
  await page.unroute(list)
  await shot('empty')
  await tab.click()
  return seen
}

function names(cards) {
  return cards.evaluateAll((all) => all.map(({ dataset }) => dataset.name))
}

async function loaders(page) {
  const ids = await page.evaluate(() => window.app.graph.nodes.map(({ id }) => id))
  return Promise.all(ids.map(async (id) => (await values(page, id)).features_name))
}

// As the page itself asks.
function remove(page, name) {
  return page.evaluate((name) => {
    const request = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) }
    return window.comfyAPI.api.api.fetchApi('/image-prompt/references/delete', request).then(({ status }) => status)
  }, name)
}
