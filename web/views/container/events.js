/* events.js - what happened to one container. */
import { html } from '../../app/html.js';
import { Happened } from '../events.js';

export default function Events({ container, query }) {
  return html`<${Happened} query=${query} container=${container.id} />`;
}
