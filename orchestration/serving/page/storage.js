// What this browser keeps. What it cannot store lasts as long as the page.

function storage(kind) {
  const unstored = new Map();
  return {
    get(name) {
      try {
        return unstored.get(name) ?? window[kind].getItem(name);
      } catch { // forbidden
        return null;
      }
    },
    // Whether the value is stored.
    set(name, value) {
      try {
        window[kind].setItem(name, value);
        unstored.delete(name);
        return true;
      } catch { // forbidden, or full
        unstored.set(name, value);
        return false;
      }
    },
  };
}

export const forTab = storage("sessionStorage");
export const forBrowser = storage("localStorage");
