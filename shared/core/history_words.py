"""What events of most sources say in the same words: zstd's dictionary for chunks of histories.

A chunk often holds one or two events, too few to repeat themselves: with this, it takes half the bytes. It is
part of the chunks' format, and must never change: another one needs another number of the format. What is
likelier stands further back.
"""

from typing import Final

WORDS: Final = (
    b'"properties":{"category":"","name":"","price":,"quantity":1,"currency":"USD","coupon":"","total":,'
    b'"products":[{"product_id":"","sku":"","brand":"","variant":""}],"order_id":"","revenue":,'
    b'"url":"https://www.","path":"/","referrer":"https://www.google.com/","search":"?","title":"","width":,'
    b'"height":},"traits":{"address":{"city":"","country":"","postalCode":""},"company":{"name":""},'
    b'"createdAt":"","phone":"+","firstName":"","lastName":"","name":"","plan":"","email":"@gmail.com"},'
    b'"context":{"active":true,"library":{"name":"analytics.js","version":"next-"},'
    b'"campaign":{"source":"google","medium":"cpc","term":"","content":"","name":""},"page":{"path":"/",'
    b'"referrer":"","search":"","title":"","url":"https://www."},"os":{"name":"iOS","version":""},'
    b'"app":{"name":"","version":"","build":"","namespace":"com."},"network":{"wifi":true,"carrier":""},'
    b'"device":{"id":"","manufacturer":"Apple","model":"iPhone","type":"mobile"},'
    b'"screen":{"width":1920,"height":1080,"density":2},"timezone":"Europe/Berlin","locale":"en-US","ip":"",'
    b'"userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 '
    b"(KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
    b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) "
    b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    b'(KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"},'
    b'"integrations":{"All":true},"writeKey":"","version":2,"channel":"browser","groupId":"","previousId":"",'
    b'"name":"Home","category":"","event":"Product Added","event":"Order Completed","event":"Product Viewed",'
    b'"type":"group","type":"screen","type":"identify","type":"track","type":"page","userId":"","anonymousId":"",'
    b'"messageId":"","receivedAt":"2026-","sentAt":"2026-","originalTimestamp":"2026-01-01T00:00:00.000Z",'
    b'"timestamp":"2026-01-01T00:00:00.000Z","messageId":"ajs-next-'
)
