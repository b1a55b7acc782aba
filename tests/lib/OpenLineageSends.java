// Sends the events of a run with the unmodified Java client. Arguments: the URL, "plain" or "gzip", and the run's id.
import io.openlineage.client.OpenLineage;
import io.openlineage.client.OpenLineageClient;
import io.openlineage.client.OpenLineageClientException;
import io.openlineage.client.transports.HttpConfig;
import io.openlineage.client.transports.HttpTransport;
import java.net.URI;
import java.time.ZonedDateTime;
import java.util.List;
import java.util.UUID;

public class OpenLineageSends {
    public static void main(String[] args) throws Exception {
        HttpConfig config = new HttpConfig();
        config.setUrl(URI.create(args[0]));
        if (args[1].equals("gzip")) {
            config.setCompression(HttpConfig.Compression.GZIP);
        }
        OpenLineage ol = new OpenLineage(URI.create("https://example.org/producer"));
        OpenLineage.Run run = ol.newRunBuilder().runId(UUID.fromString(args[2])).build();
        OpenLineage.Job job = ol.newJobBuilder().namespace("spark").name("app.command.table").build();
        OpenLineage.SchemaDatasetFacet schema = ol.newSchemaDatasetFacet(List.of(
            ol.newSchemaDatasetFacetFieldsBuilder().name("id").type("long").build(),
            ol.newSchemaDatasetFacetFieldsBuilder().name("total").type("double").build()));
        OpenLineage.InputDataset in = ol.newInputDatasetBuilder().namespace("s3://bucket").name("in/a")
            .facets(ol.newDatasetFacetsBuilder().schema(schema).build()).build();
        OpenLineage.OutputDataset out = ol.newOutputDatasetBuilder().namespace("s3://bucket").name("out/b")
            .facets(ol.newDatasetFacetsBuilder().schema(schema).build()).build();

        try (OpenLineageClient client = OpenLineageClient.builder().transport(new HttpTransport(config)).build()) {
            client.emit(ol.newRunEventBuilder().eventType(OpenLineage.RunEvent.EventType.START)
                .eventTime(ZonedDateTime.parse("2026-03-01T10:00:00Z")).run(run).job(job).inputs(List.of(in)).outputs(List.of()).build());
            client.emit(ol.newRunEventBuilder().eventType(OpenLineage.RunEvent.EventType.COMPLETE)
                .eventTime(ZonedDateTime.parse("2026-03-01T10:00:07Z")).run(run).job(job).inputs(List.of(in)).outputs(List.of(out)).build());
            client.emit(ol.newDatasetEvent(ZonedDateTime.parse("2026-03-01T11:00:00Z"),
                ol.newStaticDatasetBuilder().namespace("s3://bucket").name("only/told")
                    .facets(ol.newDatasetFacetsBuilder().schema(schema).build()).build()));
            client.emit(ol.newJobEvent(ZonedDateTime.parse("2026-03-01T11:00:00Z"),
                ol.newJobBuilder().namespace("spark").name("designed").build(), List.of(in), List.of()));
            try {
                client.emit(ol.newRunEventBuilder().eventType(OpenLineage.RunEvent.EventType.START)
                    .eventTime(ZonedDateTime.parse("2026-03-01T12:00:00Z")).run(run)
                    .job(ol.newJobBuilder().namespace("").name("nameless").build()).build());
                System.out.println("a nameless job was taken");
            } catch (OpenLineageClientException e) {
                System.out.println("refused: " + e.getMessage());
            }
        }
        System.out.println("sent");
    }
}
