/* Signatures against the values that AWS publishes, the XML of answers, and the files of credentials. */
#include "tap.h"

#include "base/arena.h"
#include "store/blob/s3_creds.h"
#include "store/blob/s3_sign.h"
#include "store/blob/s3_xml.h"
#include <stdio.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { MAY_24_2013 = 1369353600, AUG_30_2015 = 1440938160 };

static const struct s3_creds example = { .access = "AKIAIOSFODNN7EXAMPLE",
                                         .secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" };
static const struct s3_creds suite = { .access = "AKIDEXAMPLE",
                                       .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };

static void check(struct s3_signed *r, const struct s3_creds *c, const char *names,
                  const char *signature)
{
    struct buf out = BUF_INIT(4096);
    struct err err = ERR_INIT;
    char want[512];

    T_ST_ERR(s3_sign(r, c, &out, &err), OK, &err);
    snprintf(want, sizeof(want), "SignedHeaders=%s, Signature=%s", names, signature);
    T_OK(str_starts(buf_str(&out), S("AWS4-HMAC-SHA256 Credential=")));
    T_OK(str_find(buf_str(&out), str_cstr(c->access)) != SIZE_MAX);
    T_STR_EQ(str_sub(buf_str(&out), out.n - strlen(want), SIZE_MAX), str_cstr(want));
    T_OK(str_find(buf_str(&out), str_cstr(c->secret)) == SIZE_MAX);
    buf_release(&out);
}

static struct s3_signed s3_get(struct s3_pair *query, struct s3_pair *headers)
{
    headers[0] = (struct s3_pair){ S("x-amz-date"), S("20130524T000000Z") };
    headers[1] = (struct s3_pair){ S("host"), S("examplebucket.s3.amazonaws.com") };
    headers[2] = (struct s3_pair){ S("x-amz-content-sha256"), S(EMPTY) };
    return (struct s3_signed){ .method = "GET",
                               .path = S("/"),
                               .query = query,
                               .headers = headers,
                               .headers_n = 3,
                               .payload = EMPTY,
                               .region = "us-east-1",
                               .service = "s3",
                               .when_ms = (int64_t)MAY_24_2013 * 1000 };
}

TEST(the_examples_of_s3)
{
    struct s3_pair q[S3_PAIRS_MAX], h[S3_PAIRS_MAX];
    struct s3_signed r = s3_get(q, h);

    h[r.headers_n++] = (struct s3_pair){ S("range"), S("bytes=0-9") };
    r.path = S("/test.txt");
    check(&r, &example, "host;range;x-amz-content-sha256;x-amz-date",
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    r = s3_get(q, h);
    q[0] = (struct s3_pair){ S("lifecycle"), S("") };
    r.query_n = 1;
    check(&r, &example, "host;x-amz-content-sha256;x-amz-date",
          "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    r = s3_get(q, h);
    q[0] = (struct s3_pair){ S("prefix"), S("J") };
    q[1] = (struct s3_pair){ S("max-keys"), S("2") };
    r.query_n = 2;
    check(&r, &example, "host;x-amz-content-sha256;x-amz-date",
          "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(a_presigned_url)
{
    struct s3_pair q[S3_PAIRS_MAX], h[S3_PAIRS_MAX];
    struct s3_signed r = s3_get(q, h);
    struct buf out = BUF_INIT(4096);
    struct err err = ERR_INIT;

    h[0] = h[1];
    r.headers_n = 1;
    r.path = S("/test.txt");
    T_ST_ERR(s3_presign(&r, &example, 86400, &out, &err), OK, &err);
    T_STR(buf_str(&out),
          "X-Amz-Algorithm=AWS4-HMAC-SHA256"
          "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
          "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
          "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    buf_clear(&out);
    r.query_n = S3_PAIRS_MAX - 5;
    T_ST(s3_presign(&r, &example, 86400, &out, &err), ST_INVALID);
    buf_release(&out);
}

static struct s3_signed of_suite(const char *method, struct s3_pair *query, struct s3_pair *headers)
{
    headers[0] = (struct s3_pair){ S("x-amz-date"), S("20150830T123600Z") };
    headers[1] = (struct s3_pair){ S("host"), S("example.amazonaws.com") };
    return (struct s3_signed){ .method = method,
                               .path = S("/"),
                               .query = query,
                               .headers = headers,
                               .headers_n = 2,
                               .payload = EMPTY,
                               .region = "us-east-1",
                               .service = "service",
                               .when_ms = (int64_t)AUG_30_2015 * 1000 };
}

TEST(the_general_suite)
{
    struct s3_pair q[S3_PAIRS_MAX], h[S3_PAIRS_MAX];
    struct s3_signed r = of_suite("GET", q, h);

    check(&r, &suite, "host;x-amz-date",
          "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
    r = of_suite("POST", q, h);
    check(&r, &suite, "host;x-amz-date",
          "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
    r = of_suite("GET", q, h);
    q[0] = (struct s3_pair){ S("Param2"), S("value2") };
    q[1] = (struct s3_pair){ S("Param1"), S("value1") };
    r.query_n = 2;
    check(&r, &suite, "host;x-amz-date",
          "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
    r = of_suite("GET", q, h);
    h[r.headers_n++] = (struct s3_pair){ S("my-header2"), S(" \"a   b   c\"") };
    h[r.headers_n++] = (struct s3_pair){ S("my-header1"), S(" value1") };
    check(&r, &suite, "host;my-header1;my-header2;x-amz-date",
          "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
}

TEST(encoding)
{
    struct buf b = BUF_INIT(1000);
    struct s3_pair q[] = { { S("a b"), S("/+~") }, { S("x"), S("") } };

    s3_encode(&b, S("/a b/\xc3\xa9+%=&?*.-_~"), true);
    T_STR(buf_str(&b), "/a%20b/%C3%A9%2B%25%3D%26%3F%2A.-_~");
    buf_clear(&b);
    s3_query(&b, q, 2);
    T_STR(buf_str(&b), "a%20b=%2F%2B~&x=");
    buf_release(&b);
}

TEST(hmac)
{
    unsigned char key[131];
    struct digest d;
    char hex[65];

    T_OK(hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, &d)); /* RFC 4231, 2 */
    digest_hex(&d, hex);
    T_CSTR(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    T_OK(hmac_sha256(key, sizeof(key), "Test Using Larger Than Block-Size Key - Hash Key First", 54,
                     &d)); /* RFC 4231, 6 */
    digest_hex(&d, hex);
    T_CSTR(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(xml)
{
    struct arena *a = arena_new(1 << 16);
    struct str
        rest = S(
            "<?xml version=\"1.0\"?><R xmlns=\"u\"><Contents><Key>a&amp;b</Key><Size>3</Size></Contents>"
            "<KeyCount>2</KeyCount><Contents><Key>&#x41;&#66;&lt;&quot;&apos;&gt;&bad;</Key></Contents>"
            "<Empty/><IsTruncated>false</IsTruncated></R>"),
        all = rest, item;

    T_OK(a != NULL);
    T_OK(s3_xml_next(&rest, "Contents", &item));
    T_STR(s3_xml_text(a, s3_xml_find(item, "Key")), "a&b");
    T_STR(s3_xml_find(item, "Size"), "3");
    T_OK(s3_xml_next(&rest, "Contents", &item));
    T_STR(s3_xml_text(a, s3_xml_find(item, "Key")), "AB<\"'>&bad;");
    T_OK(!s3_xml_next(&rest, "Contents", &item));
    T_STR(s3_xml_find(all, "IsTruncated"), "false");
    T_STR(s3_xml_find(all, "Empty"), "");
    T_OK(s3_xml_find(all, "Empty").p != NULL);
    T_OK(s3_xml_find(all, "Nothing").p == NULL);
    T_OK(s3_xml_find(S("<Key>half"), "Key").p == NULL);
    T_OK(s3_xml_find(S("<Key"), "Key").p == NULL);
    T_OK(s3_xml_find(S("<"), "Key").p == NULL);
    T_OK(s3_xml_find(S(""), "Key").p == NULL);
    T_INT(s3_xml_time(S("2026-11-21T11:32:57.000Z")), 1795260777000);
    T_INT(s3_xml_time(S("1970-01-01T00:00:00Z")), 0);
    T_INT(s3_xml_time(S("2000-02-29T23:59:59Z")), 951868799000);
    T_INT(s3_xml_time(S("2026-13-21T11:32:57Z")), -1);
    T_INT(s3_xml_time(S("yesterday, about noon")), -1);
    arena_free(a);
}

TEST(ini)
{
    struct str text = S(
        "# a comment\n[default]\naws_access_key_id = ONE\r\n aws_secret_access_key=no\n"
        "aws_secret_access_key = a=b/c+d\n\n[ other ]\naws_access_key_id=TWO\ns3 =\n  region = nested\n"
        "[profile p]\nregion = eu-west-1");
    bool found;

    T_STR(s3_ini_get(text, "default", "aws_access_key_id", &found), "ONE");
    T_OK(found);
    T_STR(s3_ini_get(text, "default", "aws_secret_access_key", &found), "a=b/c+d");
    T_STR(s3_ini_get(text, "other", "aws_access_key_id", &found), "TWO");
    T_OK(s3_ini_get(text, "other", "region", &found).p == NULL);
    T_OK(found);
    T_STR(s3_ini_get(text, "profile p", "region", &found), "eu-west-1");
    T_OK(s3_ini_get(text, "nobody", "region", &found).p == NULL);
    T_OK(!found);
}
