// The theme that was chosen, before anything is painted.
try {
  const theme = localStorage.getItem('lb-theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme it is.
}
