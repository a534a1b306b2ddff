// Asks the browser for a passkey, and sends its answer as the form. Without passkeys the form stays hidden.
"use strict";
const box = document.getElementById("passkey");
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
const octets = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
if (box && window.PublicKeyCredential) {
  const form = box.closest("form");
  const fields = form.elements;
  box.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const used = await navigator.credentials.get({
        publicKey: {
          challenge: octets(box.dataset.challenge),
          rpId: box.dataset.rp,
          userVerification: "required",
          timeout: 300000,
        },
      });
      fields.credential_id.value = text(used.rawId);
      fields.client_data.value = text(used.response.clientDataJSON);
      fields.authenticator_data.value = text(used.response.authenticatorData);
      fields.signature.value = text(used.response.signature);
      fields.user_handle.value = text(used.response.userHandle || new ArrayBuffer(0));
      form.submit();
    } catch (error) {
      // The person has thought better of it, or has none: the password is there.
      form.querySelector("button").textContent = "No passkey was used. Try again";
    }
  });
}
