// Starts the console. The colours come first, so that nobody is dazzled while the module loads.
import init from "./{{app.js}}";

let colours = null;
try {
  colours = localStorage.getItem("posthorn.theme");
} catch {
  // A browser that keeps nothing: then the system's colours.
}
if (colours === "light" || colours === "dark") {
  document.documentElement.dataset.theme = colours;
}

try {
  await init({ module_or_path: new URL("./{{app.wasm}}", import.meta.url) });
  document.getElementById("loading")?.remove();
} catch (error) {
  const loading = document.getElementById("loading");
  if (loading) {
    loading.textContent = "The console could not be started: " + error;
  }
  throw error;
}
