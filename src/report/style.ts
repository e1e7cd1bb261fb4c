import { type RampStep, ramps, type Theme, themes } from "./charts/colour.ts";

function variables(theme: Theme, ramp: readonly RampStep[]): string {
  const colours = Object.entries(theme).map(([name, value]) => `--${name}:${value};`);
  const steps = ramp.map(({ fill, ink }, index) => `--h${index}:${fill};--i${index}:${ink};`);
  return colours.join("") + steps.join("");
}

export function buildStyle(): string {
  return `:root{color-scheme:light dark;${variables(themes.light, ramps.light)}}
@media (prefers-color-scheme:dark){:root{${variables(themes.dark, ramps.dark)}}}
@media print{:root{color-scheme:light;${variables(themes.light, ramps.light)}}}
${sheet}`;
}

const sheet = `
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Inter,Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums;-webkit-font-smoothing:antialiased}
main,header.top,footer{max-width:1060px;margin:0 auto;padding:0 28px}
header.top{padding-top:52px}
.eyebrow{display:flex;align-items:center;gap:12px;margin:0 0 10px;color:var(--muted);font-size:13px;letter-spacing:.01em}
.eyebrow b{color:var(--ink);font-weight:650;letter-spacing:.02em}
.state{display:inline-flex;align-items:center;gap:7px;border:1px solid var(--line);border-radius:99px;padding:1px 10px;background:var(--panel);color:var(--ink);font-size:12.5px}
.state::before{content:"";width:7px;height:7px;border-radius:50%;background:var(--cil)}
.state.open{background:var(--warnPanel);color:var(--warn);border-color:transparent}
.state.open::before{background:var(--warn)}
h1{font-size:31px;line-height:1.2;font-weight:680;letter-spacing:-.022em;margin:0;text-wrap:balance;overflow-wrap:anywhere}
.lede{font-size:17px;line-height:1.55;color:var(--ink);max-width:44em;margin:14px 0 0;text-wrap:pretty}
.facts{color:var(--muted);font-size:13.5px;margin:12px 0 0}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;margin:26px 0 0;padding:11px 0;border-block:1px solid var(--line);font-size:13.5px}
nav a{color:var(--muted);text-decoration:none}
nav a:hover{color:var(--ink);text-decoration:underline;text-underline-offset:3px}
section{margin:52px 0 0}
h2{font-size:20px;font-weight:660;letter-spacing:-.012em;line-height:1.3;margin:0 0 4px}
h3{font-size:14.5px;font-weight:640;margin:0 0 2px}
p{margin:0 0 10px}
.note{color:var(--muted);max-width:52em;margin:0 0 16px;text-wrap:pretty}
.cards{display:flex;flex-wrap:wrap;gap:1px;margin:28px 0 0;background:var(--line);border:1px solid var(--line);border-radius:12px;overflow:hidden}
.card{background:var(--panel);padding:16px 18px 15px;min-width:0;flex:1 1 calc(25% - 1px)}
.card dt{color:var(--muted);font-size:12.5px;line-height:1.35;margin:0 0 5px}
.card dd{margin:0}
.card .value{font-size:29px;line-height:1.15;font-weight:640;letter-spacing:-.025em;white-space:nowrap}
.card .unit{font-size:15px;font-weight:500;letter-spacing:0;color:var(--muted);margin-left:4px}
.card .more{color:var(--muted);font-size:12.5px;line-height:1.4;margin-top:5px}
.card.cil{box-shadow:inset 0 3px 0 var(--cil)}
.card.til{box-shadow:inset 0 3px 0 var(--til)}
.card.routed{box-shadow:inset 0 3px 0 var(--routed)}
.key{display:inline-block;width:.72em;height:.72em;border-radius:2px;margin-right:.42em;background:var(--cil)}
.key.til{background:var(--til)}
.key.routed{background:var(--routed)}
.key.baseline{height:0;width:1.1em;border-radius:0;background:none;border-top:2px dashed var(--muted);vertical-align:middle}
.notice{background:var(--warnPanel);color:var(--ink);border-radius:12px;padding:14px 18px;margin:18px 0 0}
.notice h2{font-size:14.5px;color:var(--warn);margin:0 0 3px}
.notice ul{margin:0;padding-left:18px}
.notice p:last-child{margin:0}
.panel{background:var(--panel);border:1px solid var(--line);border-radius:12px;padding:18px 18px 14px;min-width:0}
.panel+.panel{margin-top:18px}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:18px}
.pair .panel+.panel{margin-top:0}
.pair.below{margin-top:18px}
.chart.phone{display:none}
.chart{overflow-x:auto;overflow-y:hidden;margin-top:6px}
.chart svg{display:block;height:auto;max-width:100%;overflow:visible;font-family:inherit;font-size:11.5px;font-variant-numeric:tabular-nums}
.chart svg [aria-label$="axis tick label"],.chart svg [aria-label$="axis label"],.chart svg .axis{fill:var(--muted)}
.chart .grid{stroke:var(--line)}
.scale{display:flex;align-items:center;gap:9px;color:var(--muted);font-size:12px;margin:8px 0 0}
.scale i{display:inline-flex;border-radius:3px;overflow:hidden}
.scale i b{width:11px;height:10px}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;color:var(--muted);font-size:12.5px;margin:0}
details{margin:10px 0 0}
summary{cursor:pointer;color:var(--muted);font-size:13px;width:max-content;max-width:100%}
summary:hover{color:var(--ink)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13px;line-height:1.45}
th,td{padding:6px 9px;text-align:right;border-bottom:1px solid var(--line);vertical-align:top;white-space:nowrap}
tr:last-child>td,tr:last-child>th{border-bottom:0}
thead th{color:var(--muted);font-weight:550;font-size:12.5px;vertical-align:bottom}
tbody th{font-weight:550}
.left{text-align:left}
.matrix th,.matrix td{padding:3px 6px;font-size:12px}
.none{color:var(--muted)}
.labels{white-space:normal;text-align:left;color:var(--muted);font-size:12.5px;line-height:1.6;padding-top:0;min-width:340px}
tr.task>td,tr.task>th{border-bottom:0;padding-bottom:2px}
.labels bdi{overflow-wrap:anywhere}
.labels bdi+bdi::before{content:"· ";opacity:.6}
.settings{columns:2;column-gap:44px;margin:0;font-size:13px}
.settings div{display:flex;gap:14px;justify-content:space-between;padding:5px 0;border-bottom:1px solid var(--line);break-inside:avoid}
.settings dt{color:var(--muted);flex:none;max-width:60%;overflow-wrap:anywhere}
.settings dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0}
code,.settings dd,.mono{font-family:ui-monospace,"SF Mono",SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;font-size:.92em}
.notice code{white-space:nowrap}
.settings.wide{columns:1}
.settings.wide div{justify-content:flex-start}
.settings.wide dt{width:230px}
.settings.wide dd{text-align:left}
.settings.wide div:last-child{border-bottom:0}
.definitions{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:22px 44px;margin:0}
.definitions dt{font-weight:640;font-size:14.5px}
.definitions dd{margin:2px 0 0;color:var(--muted);font-size:13.5px;text-wrap:pretty}
.formula{display:block;color:var(--ink);font-family:"STIX Two Text","Cambria Math",Cambria,"Times New Roman",Times,serif;font-size:16.5px;line-height:1.5;margin:3px 0 4px}
sub{line-height:0}
.formula sub{font-size:.72em}
footer{color:var(--muted);font-size:12.5px;margin-top:56px;padding-bottom:44px}
footer p{border-top:1px solid var(--line);padding-top:14px}
@media (max-width:820px){.card{flex-basis:calc(50% - 1px)}.pair,.definitions{grid-template-columns:minmax(0,1fr)}.settings{columns:1}.settings.wide dt{width:auto}.settings.wide div{justify-content:space-between}.settings.wide dd{text-align:right}.chart.wide{display:none}.chart.phone{display:block}main,header.top,footer{padding-left:18px;padding-right:18px}header.top{padding-top:30px}h1{font-size:25px}}
@media print{nav{display:none}section{break-inside:avoid-page}.panel,.cards{break-inside:avoid}}
`;
