// `data-chat="MODEL"`: talks with a model through /api/inference in the name of the session, which
// must be an editor's; the answer appears as it is written. Nothing that is said is kept.

/** @param {HTMLElement} card */
export function start(card) {
  const form = card.querySelector("form");
  const log = card.querySelector("[role=log]");
  const [send, stop, clear] = form.querySelectorAll("button");
  const offered = JSON.parse(card.dataset.tools ?? "[]");
  let messages = [];
  let calling = null;

  send.disabled = false;
  stop.addEventListener("click", () => calling?.abort());
  clear.addEventListener("click", () => {
    calling?.abort();
    messages = [];
    log.replaceChildren();
    clear.hidden = true;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (calling) return;
    const { system, user, tools, temperature } = form.elements;
    if (!messages.length && system.value.trim()) messages.push({ role: "system", content: system.value });
    for (const call of messages.at(-1)?.tool_calls ?? [])
      messages.push({ role: "tool", tool_call_id: call.id, content: "Nothing was played: this is a talk." });
    messages.push({ role: "user", content: user.value });
    say(log, "user", user.value);
    const answer = say(log, "assistant", "");
    const body = { model: card.dataset.chat, messages, stream: true, max_tokens: 512, temperature: Number(temperature.value) };
    if (tools?.checked) body.tools = offered;
    calling = new AbortController();
    send.disabled = true;
    stop.hidden = clear.hidden = false;
    user.value = "";
    try {
      messages.push(await ask(body, answer, calling.signal));
    } catch (err) {
      messages.pop();
      const words = err.name === "AbortError" ? "Stopped." : err.message;
      say(log, "error", words);
    }
    calling = null;
    send.disabled = false;
    stop.hidden = true;
    user.focus();
  });
}

/** One message in the log; returns where its text stands. @returns {HTMLElement} */
function say(log, role, text) {
  const node = document.createElement("div");
  const who = document.createElement("p");
  const words = document.createElement("pre");
  node.className = `message ${role}`;
  who.className = role === "error" ? "role bad" : "role";
  who.textContent = { user: "you", assistant: "answer", error: "no answer" }[role];
  words.textContent = text;
  node.append(who, words);
  log.append(node);
  node.scrollIntoView({ block: "nearest" });
  return words;
}

/** The whole answer as a message; its text grows in `node` meanwhile.
 * @param {object} body @param {HTMLElement} node @param {AbortSignal} signal */
async function ask(body, node, signal) {
  const { "X-CSRFToken": token } = JSON.parse(document.body.getAttribute("hx-headers"));
  node.textContent = "…";
  const began = performance.now();
  const response = await fetch("/api/inference/v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": token },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) throw new Error(await reason(response));
  const message = { role: "assistant", content: "" };
  const calls = [];
  for await (const part of parts(response)) {
    if (part.error) throw new Error(part.error.message);
    const delta = part.choices?.[0]?.delta ?? {};
    message.content += delta.content ?? "";
    for (const call of delta.tool_calls ?? []) {
      const slot = (calls[call.index ?? 0] ??= { id: "", type: "function", function: { name: "", arguments: "" } });
      slot.id ||= call.id ?? "";
      slot.function.name += call.function?.name ?? "";
      slot.function.arguments += call.function?.arguments ?? "";
    }
    const said = calls.map((call) => `${call.function.name}(${call.function.arguments})`);
    node.textContent = [message.content, ...said].filter(Boolean).join("\n") || "…";
  }
  if (calls.length) message.tool_calls = calls;
  if (node.textContent === "…") node.textContent = "(nothing)";
  node.previousSibling.textContent = `answer, ${((performance.now() - began) / 1000).toFixed(1)} s`;
  return message;
}

/** The JSON of a stream's events. @param {Response} response */
async function* parts(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    const lines = (rest + (value ?? "")).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: {")) yield JSON.parse(line.slice(6));
    if (done) return;
  }
}

async function reason(response) {
  try {
    const { error } = await response.json();
    return [error.message, error.hint].filter(Boolean).join(" ");
  } catch {
    return `The server answered ${response.status}.`;
  }
}
