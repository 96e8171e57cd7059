// Trusted Types: htmx may set HTML, and nobody may evaluate text as code.
htmx.registerExtension('trusted', {
  init(api) {
    const deny = class {
      constructor() {
        throw new Error('evaluating text is switched off');
      }
    };
    const policy = globalThis.trustedTypes?.createPolicy('htmx', {
      createHTML: (html) => html,
      createScript: (script) => {
        if (script) throw new Error('inline scripts are switched off');
        return script;
      },
    });
    api.initSecurity?.(policy, deny, deny);
  },
});

// A question opened in a corner closes when something else is clicked.
document.addEventListener('click', (event) => {
  for (const open of document.querySelectorAll('details.ask[open]')) {
    if (!open.contains(event.target)) open.open = false;
  }
});

document.addEventListener('keydown', (event) => {
  const open = event.key === 'Escape' ? document.querySelector('details.ask[open]') : null;
  if (open === null) return;
  open.open = false;
  open.querySelector('summary').focus();
});

// What is no longer live says so, until it is again.
const lost = { socket: false, request: false };
function line(what, isLost) {
  lost[what] = isLost;
  const notice = document.getElementById('line-lost');
  if (notice !== null) notice.hidden = !lost.socket && !lost.request;
}
document.addEventListener('htmx:ws:close', () => line('socket', !document.hidden));
document.addEventListener('htmx:ws:after:connection', () => line('socket', false));
document.addEventListener('htmx:error', ({ detail }) => line('request', detail.ctx !== undefined));
document.addEventListener('htmx:after:request', () => line('request', false));

// Whoever chooses a file that is too large hears it before it was sent.
document.addEventListener('change', ({ target }) => {
  if (target.dataset.maxBytes === undefined) return;
  const [file] = target.files;
  const isTooLarge = file !== undefined && file.size > Number(target.dataset.maxBytes);
  target.setCustomValidity(isTooLarge ? target.dataset.tooLarge : '');
});

// Uploading shows how far it is; without this script the form works by itself.
document.addEventListener('submit', (event) => {
  const form = event.target;
  const meter = form.querySelector('progress[data-upload]');
  if (meter === null) return;
  event.preventDefault();
  // A second click must not send it twice.
  const button = form.querySelector('button');
  button.disabled = true;
  const request = new XMLHttpRequest();
  request.open('POST', form.action);
  request.upload.addEventListener('progress', ({ loaded, total }) => {
    meter.hidden = false;
    meter.max = total;
    meter.value = loaded;
  });
  request.addEventListener('load', () => {
    if (request.status < 400) {
      location.assign(request.responseURL);
      return;
    }
    const answer = new DOMParser().parseFromString(trustedHtml(request.responseText), 'text/html');
    const again = answer.querySelector('form[enctype]');
    if (again !== null) form.replaceWith(document.adoptNode(again));
    else location.reload();
  });
  request.addEventListener('error', () => {
    meter.hidden = true;
    button.disabled = false;
    form.querySelector('[role=alert]')?.remove();
    const alert = document.createElement('p');
    alert.setAttribute('role', 'alert');
    alert.className = 'notice';
    alert.dataset.tone = 'bad';
    alert.textContent = form.dataset.failed ?? '';
    form.prepend(alert);
  });
  request.send(new FormData(form));
});

let parsing;
function trustedHtml(text) {
  if (globalThis.trustedTypes === undefined) return text;
  parsing ??= trustedTypes.createPolicy('upload', { createHTML: (html) => html });
  return parsing.createHTML(text);
}
