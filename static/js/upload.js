// `data-upload`: a form with a file tells how much of it has been sent. Without JavaScript the
// browser sends it as any other form.

/** @param {HTMLFormElement} form */
export function start(form) {
  const bar = form.querySelector("progress");
  const said = form.querySelector("[data-said]");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const body = new FormData(form);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.hidden = false;
      bar.max = total;
      bar.value = loaded;
      said.textContent = loaded < total ? `${megabytes(loaded)} of ${megabytes(total)} sent` : "Sent; it is looked at…";
    });
    request.addEventListener("load", () => answer(form, said, request));
    request.addEventListener("error", () => fail(form, said, "The connection broke off; nothing was imported."));
    request.open("POST", form.action);
    request.setRequestHeader("Accept", "application/json");
    form.querySelector("button").disabled = true;
    request.send(body);
  });
}

/** Go where the import can be watched, or say why there is none. */
function answer(form, said, request) {
  let found = {};
  try {
    found = JSON.parse(request.responseText);
  } catch {
    // an answer of somebody between us: its status is all there is to say
  }
  if (request.status < 300 && found.page) location.assign(found.page);
  else fail(form, said, found.error ? `${found.error.message} ${found.error.hint}` : `The server answered ${request.status}.`);
}

function fail(form, said, words) {
  form.querySelector("progress").hidden = true;
  form.querySelector("button").disabled = false;
  said.className = "bad";
  said.textContent = words;
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
