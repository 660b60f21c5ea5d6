// The default theme on the reader's own fonts.

import DefaultTheme from "vitepress/theme-without-fonts";

export default DefaultTheme;
