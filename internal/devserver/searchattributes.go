package devserver

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
)

// SearchAttributes returns the search attributes that Holdfast's workflows set, with their types.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		"WebhookId":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"EventType":     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"EventId":       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"DeliveryState": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"HttpStatus":    enumspb.INDEXED_VALUE_TYPE_INT,
		"Attempts":      enumspb.INDEXED_VALUE_TYPE_INT,

		"WebhookState":    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		"WebhookRevision": enumspb.INDEXED_VALUE_TYPE_INT,
	}
}

// RegisterSearchAttributes registers with any Temporal server those of SearchAttributes that namespace lacks.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("list search attributes of namespace %s: %w", namespace, err)
	}
	missing := SearchAttributes()
	for name := range have.GetCustomAttributes() {
		delete(missing, name)
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	if err != nil {
		return fmt.Errorf("register search attributes in namespace %s: %w", namespace, err)
	}
	return nil
}
