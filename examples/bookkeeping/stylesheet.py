"""The style sheet of overview.html: light, dark and print, with the system's own fonts.

It does not know the page's content.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f5f1;--card:#fff;--ink:#1d2327;--soft:#5b646b;--rule:#dcd9d0;
--link:#0b5a7a;
--net:#2f6f8f;--vat:#d9933d;--review:#a8321f;--review-bg:#fbe9e5;--parked:#7a5200;--parked-bg:#fdf1d8;
--info:#2c5f7c;--info-bg:#e5f0f6;--excluded:#565d63;--excluded-bg:#ececea;--good:#23693c;--good-bg:#e3f3e7}
@media(prefers-color-scheme:dark){:root{--page:#14181b;--card:#1d2327;--ink:#e9e7e1;--soft:#a4adb3;
--rule:#363e43;
--link:#7cc4e4;--net:#5aa3c6;--vat:#e2a85c;--review:#ff9d8a;--review-bg:#43211b;--parked:#f3c671;
--parked-bg:#3c2f13;
--info:#8fcbe8;--info-bg:#1b3341;--excluded:#b6bdc2;--excluded-bg:#2c3236;--good:#8ed6a4;--good-bg:#1b3925}}
*{box-sizing:border-box}html{scroll-behavior:smooth}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.5 system-ui,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
main{max-width:64rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0}h2{font-size:1.2rem;margin:0 0 .9rem}
p{margin:.3rem 0}.soft,caption{color:var(--soft)}a{color:var(--link)}
.banner{display:flex;flex-wrap:wrap;gap:.2rem .9rem;align-items:baseline;margin:1.25rem 0;
padding:.8rem 1.1rem;border-radius:.5rem;
border-left:.35rem solid var(--parked);background:var(--parked-bg)}
.banner strong{color:var(--parked);letter-spacing:.04em}
.banner.closed{border-color:var(--good);background:var(--good-bg)}.banner.closed strong{color:var(--good)}
section,.figure{background:var(--card);border:1px solid var(--rule);border-radius:.6rem}
section{padding:1.3rem 1.4rem;margin:1.25rem 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:1rem;margin:1.25rem 0}
.figure{padding:1rem 1.2rem}.figure b{display:block;font-size:1.55rem;font-variant-numeric:tabular-nums;
line-height:1.3}
.figure meter{width:100%;height:.8rem;margin-top:.3rem}
.columns{display:grid;grid-template-columns:1fr;gap:0 1.25rem}
table{border-collapse:collapse;width:100%}caption{text-align:left;font-size:.9rem;padding-bottom:.4rem}
th,td{padding:.45rem .6rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--rule)}
th{font-weight:600}thead th{font-size:.82rem;color:var(--soft);white-space:nowrap}
tbody tr:last-child>*{border-bottom:0}th:first-child,td:first-child{padding-left:0}
th:last-child,td:last-child{padding-right:0}
.money,.count{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tr.sum>*{font-weight:700;border-top:2px solid var(--ink)}
.scroll{overflow-x:auto}
.tag{display:inline-block;padding:.05rem .55rem;border-radius:1rem;font-size:.82rem;font-weight:600;
white-space:nowrap}
.review{color:var(--review);background:var(--review-bg)}.parked{color:var(--parked);
background:var(--parked-bg)}
.booked{color:var(--info);background:var(--info-bg)}.excluded{color:var(--excluded);
background:var(--excluded-bg)}
.id{font:.85rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:nowrap}
.links a{white-space:nowrap;margin-right:.7rem}.nowrap{white-space:nowrap}
.chart{display:block;width:100%;height:auto}.chart text{font-size:14px;fill:var(--ink)}
.chart .bar-value{font-variant-numeric:tabular-nums;fill:var(--soft)}
.chart .axis{stroke:var(--rule)}.bar-net{fill:var(--net)}.bar-vat{fill:var(--vat)}
.key{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;margin:0 .35rem 0 0;
vertical-align:-.05rem}
.key.net{background:var(--net)}.key.vat{background:var(--vat);margin-left:1rem}
details{border-bottom:1px solid var(--rule);padding:.5rem 0}details:last-child{border-bottom:0}
summary{cursor:pointer}summary .soft{margin-left:.5rem}
ol.trail{margin:.5rem 0 .4rem;padding-left:2.2rem;scroll-margin-top:4rem}ol.trail:target{
outline:2px solid var(--link);outline-offset:.4rem}
ol.trail li{margin:.3rem 0}footer{color:var(--soft);font-size:.88rem}
@media(min-width:52rem){.columns{grid-template-columns:1fr 1fr}.columns section{margin:0}}
@media(max-width:52rem){.columns section{margin:0 0 1.25rem}}
@media print{.figures{grid-template-columns:repeat(4,1fr)}.figure{padding:.7rem .8rem}.figure b{font-size:1.2rem}
:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--rule:#bbb;--link:#000;--net:#555;
--vat:#aaa;
--review:#000;--parked:#000;--info:#000;--excluded:#000;--good:#000;--review-bg:#fff;--parked-bg:#fff;
--info-bg:#fff;
--excluded-bg:#fff;--good-bg:#fff}
body{font-size:10.5pt}main{max-width:none;padding:0}section,.figure{break-inside:avoid;border-color:#bbb}
section.long{break-inside:auto}tr,details{break-inside:avoid}thead{display:table-header-group}
.tag{border:1px solid #666}.bar-net,.bar-vat,.key{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.banner{border:1px solid #000;border-left-width:.35rem}.scroll{overflow:visible}}
"""
