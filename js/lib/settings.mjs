// @ts-check
// The pack's own settings, which js/settings.js declares.
import { app } from '../../../scripts/app.js'

export const VIEWS = 'image-prompt.views'
export const DROPS = 'image-prompt.drops'

/** Whether a setting is on; one that is not declared, because its script failed, is.
 * @param {typeof VIEWS | typeof DROPS} id */
export function isOn(id) {
  return /** @type {any} */ (app.extensionManager?.setting)?.get(id) !== false
}
